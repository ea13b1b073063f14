"""Requests per second by kind and number of connections, compared with a bare endpoint in the same round."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

from rich.console import Console
from rich.text import Text

from flashsale_cli.console import number, table
from flashsale_cli.load.plan import Crowd, plan
from flashsale_cli.load.run import Target, run
from flashsale_cli.load.tally import Tally
from tools.bench.measurements import (
    ACCEPTED,
    BARE,
    PERSISTED_TARGET,
    RATE_LIMITED,
    RAW,
    REPLAYED,
    SOLD_OUT,
    Persisted,
    RateSummary,
    Round,
    summarize_rates,
)
from tools.bench.processes import POLL_SECONDS
from tools.bench.testbed import Testbed
from tools.bench.wrk import Load, WrkResult, run_wrk

KINDS = (BARE, RAW, SOLD_OUT, ACCEPTED)
ALL_KINDS = (BARE, RAW, SOLD_OUT, RATE_LIMITED, REPLAYED, ACCEPTED)
SOLD_OUT_STOCK = 10
REPLAYED_ORDERS = 1000
PERSIST_SECONDS = 5.0
RATE_TITLE = "Requests per second: medians of all rounds, compared with a bare Starlette endpoint"
RATE_COLUMNS = ("connections", " requests", "per second", "times bare Starlette", "target", "p50, ms", "p99, ms")
PERSISTED_TITLE = "Time from the end of the load until the ledger has every accepted order"
PERSISTED_COLUMNS = ("connections", "counted by wrk", "accepted in Redis", "in the ledger", "after the load", "target")


@dataclass(frozen=True, slots=True)
class RateBench:
    testbed: Testbed
    open_id: str
    sold_out_id: str
    limited_id: str
    prefix: str
    """The first part of the request ids that are replayed."""

    @property
    def sale_ids(self) -> tuple[str, ...]:
        return (self.open_id, self.sold_out_id, self.limited_id)

    async def round(self, connections: int, seconds: int, kinds: Sequence[str] = KINDS) -> Round:
        """Measure each kind once. Accepted orders come last, so that the ledger's writes slow down no other kind."""
        before, results = 0, {}
        for kind in kinds:
            before = await self._reserved()
            results[kind] = await self._measure(kind, connections, seconds)
        return Round(connections, results, await self._persisted(before, results[ACCEPTED].accepted))

    async def _measure(self, kind: str, connections: int, seconds: int) -> WrkResult:
        urls = {BARE: self.testbed.starlette_url, RAW: self.testbed.raw_url}
        loads: Mapping[str, Load] = {
            SOLD_OUT: Load(self.sold_out_id),
            RATE_LIMITED: Load(self.limited_id, users=1),
            REPLAYED: Load(self.open_id, users=REPLAYED_ORDERS, requests=REPLAYED_ORDERS),
        }
        prefix = self.prefix if kind in {REPLAYED, RATE_LIMITED} else ""
        return await run_wrk(urls.get(kind, self.testbed.url), loads.get(kind, Load(self.open_id)), connections, seconds, prefix)

    async def prime(self) -> None:
        """Buy the whole stock of one sale, make the orders that are replayed, and use up the rate limit of the one limited buyer."""
        clicks = plan(Crowd(product_id=self.sold_out_id, buyers=SOLD_OUT_STOCK, prefix=self.prefix))
        await run(clicks, Target(self.testbed.url), Tally(len(clicks)))
        await self._measure(REPLAYED, 1, 2)
        # A request id that no other run uses: a replay is answered before the rate limit is checked.
        await run_wrk(self.testbed.url, Load(self.limited_id, users=1, requests=1), 1, 2, self.prefix)

    async def _persisted(self, before: int, answered: int) -> Persisted:
        """Wait until the ledger has every order that Redis accepted, PERSIST_SECONDS at most."""
        ended_at = monotonic()
        while True:
            reserved, in_ledger = await self._reserved(), await self.testbed.in_ledger(self.open_id)
            after_seconds = monotonic() - ended_at
            if reserved == in_ledger or after_seconds >= PERSIST_SECONDS:
                return Persisted(answered, reserved - before, in_ledger - before, after_seconds)
            await asyncio.sleep(POLL_SECONDS)

    async def _reserved(self) -> int:
        return await self.testbed.counter(self.open_id, "reserved")


async def prepare(testbed: Testbed) -> RateBench:
    open_id, sold_out_id = await testbed.new_sale("bench"), await testbed.new_sale("bench-sold-out", SOLD_OUT_STOCK)
    limited_id = await testbed.new_sale("bench-limited", rateLimit={"requests": 1, "seconds": 3600})
    bench = RateBench(testbed, open_id, sold_out_id, limited_id, open_id[-8:])
    await bench.prime()
    return bench


async def measure(
    bench: RateBench, connections: Sequence[int], kinds: Sequence[str], seconds: int, rounds: int, screen: Console
) -> list[Round]:
    """Measure `rounds` rounds, each with all numbers of connections in turn."""
    done = []
    for index in range(rounds):
        for count in connections:
            done.append(await bench.round(count, seconds, kinds))
            screen.print(Text(_progress(index + 1, done[-1]), "dim"))
    return done


def show(rounds: Sequence[Round], screen: Console) -> None:
    screen.print(table(RATE_TITLE, RATE_COLUMNS, _rate_rows(summarize_rates(rounds))))
    screen.print()
    screen.print(table(PERSISTED_TITLE, PERSISTED_COLUMNS, map(_persisted_row, rounds)))


def _progress(number_of_round: int, done: Round) -> str:
    rates = ", ".join(f"{kind} {number(result.per_second)}/s" for kind, result in done.results.items())
    return f"round {number_of_round}, {done.connections} connections: {rates}"


def _rate_rows(summaries: Sequence[RateSummary]) -> Iterator[tuple[str | Text, ...]]:
    for summary in summaries:
        targets = [f"{words}{target}" for words, target in (("", summary.target), ("p99 ", summary.p99_target)) if target is not None]
        numbers = (f"{summary.p50_ms:.1f}", f"{summary.p99_ms:.1f}")
        target = Text(", ".join(targets), "green" if summary.reached else "yellow")
        yield str(summary.connections), summary.kind, number(summary.per_second), f"{summary.ratio:.2f}", target, *numbers


def _persisted_row(done: Round) -> tuple[str | Text, ...]:
    persisted = done.persisted
    counts = map(number, (persisted.answered, persisted.reserved, persisted.in_ledger))
    style = "green" if PERSISTED_TARGET.reached(persisted.after_seconds) else "yellow"
    return (str(done.connections), *counts, f"{persisted.after_seconds:.1f} s", Text(f"{PERSISTED_TARGET} s", style))
