"""Requests per second by kind and number of connections, beside a bare endpoint in the same round."""

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
from tools.bench.figures import ACCEPTED, BACKLOG_BAR, BARE, RATE_LIMITED, RAW, REPLAYED, SOLD_OUT, Figure, Persisted, Round, figures
from tools.bench.site import POLL_SECONDS, Site
from tools.bench.wrk import Load, Shot, shoot

KINDS = (BARE, RAW, SOLD_OUT, ACCEPTED)
ALL_KINDS = (BARE, RAW, SOLD_OUT, RATE_LIMITED, REPLAYED, ACCEPTED)
SOLD_OUT_STOCK = 10
REPLAYED_ORDERS = 1000
PERSIST_SECONDS = 5.0
FIGURE_COLUMNS = ("connections", " what", "per second", "beside bare", "bar", "p50, ms", "p99, ms")
PERSISTED_COLUMNS = ("connections", "answered", "in Redis", "in the ledger", "after the load", "bar")


@dataclass(frozen=True, slots=True)
class Rates:
    site: Site
    open_id: str
    sold_out_id: str
    limited_id: str
    prefix: str
    """Of the orders that are replayed."""

    @property
    def sale_ids(self) -> tuple[str, ...]:
        return (self.open_id, self.sold_out_id, self.limited_id)

    async def round(self, connections: int, seconds: int, kinds: Sequence[str] = KINDS) -> Round:
        """One shot of each kind; the accepted last, so that what the ledger still writes disturbs nobody's figure."""
        before, shots = 0, {}
        for kind in kinds:
            before = await self._reserved()
            shots[kind] = await self._shoot(kind, connections, seconds)
        return Round(connections, shots, await self._persisted(before, shots[ACCEPTED].accepted))

    async def _shoot(self, kind: str, connections: int, seconds: int) -> Shot:
        urls = {BARE: self.site.starlette_url, RAW: self.site.raw_url}
        loads: Mapping[str, Load] = {
            SOLD_OUT: Load(self.sold_out_id),
            RATE_LIMITED: Load(self.limited_id, users=1),
            REPLAYED: Load(self.open_id, users=REPLAYED_ORDERS, requests=REPLAYED_ORDERS),
        }
        load = loads.get(kind, Load(self.open_id))
        return await shoot(
            urls.get(kind, self.site.url), load, connections, seconds, self.prefix if kind in {REPLAYED, RATE_LIMITED} else ""
        )

    async def prime(self) -> None:
        """Buy what is sold out, make the orders that are replayed, and use up the rate of the one buyer who has one."""
        clicks = plan(Crowd(product_id=self.sold_out_id, buyers=SOLD_OUT_STOCK, prefix=self.prefix))
        await run(clicks, Target(self.site.url), Tally(len(clicks)))
        await self._shoot(REPLAYED, 1, 2)
        # One request id that no other shot has: a replay is answered before the rate is looked at.
        await shoot(self.site.url, Load(self.limited_id, users=1, requests=1), 1, 2, self.prefix)

    async def _persisted(self, before: int, answered: int) -> Persisted:
        ended_at = monotonic()
        before_load = before
        while True:
            reserved, in_ledger = await self._reserved(), await self.site.in_ledger(self.open_id)
            after_seconds = monotonic() - ended_at
            if reserved == in_ledger or after_seconds >= PERSIST_SECONDS:
                return Persisted(answered, reserved - before_load, in_ledger - before_load, after_seconds)
            await asyncio.sleep(POLL_SECONDS)

    async def _reserved(self) -> int:
        return await self.site.counter(self.open_id, "reserved")


async def open_rates(site: Site) -> Rates:
    open_id, sold_out_id = await site.new_sale("bench"), await site.new_sale("bench-sold-out", SOLD_OUT_STOCK)
    limited_id = await site.new_sale("bench-limited", rateLimit={"requests": 1, "seconds": 3600})
    rates = Rates(site, open_id, sold_out_id, limited_id, open_id[-8:])
    await rates.prime()
    return rates


async def measure(
    rates: Rates, connections: Sequence[int], kinds: Sequence[str], seconds: int, rounds: int, screen: Console
) -> list[Round]:
    """`rounds` rounds of all numbers of connections, in turn."""
    found = []
    for number_of_round in range(rounds):
        for count in connections:
            found.append(await rates.round(count, seconds, kinds))
            screen.print(Text(_words(number_of_round + 1, found[-1]), "dim"))
    return found


def show(rounds: Sequence[Round], screen: Console) -> None:
    screen.print(table("Medians", FIGURE_COLUMNS, _figure_rows(figures(rounds))))
    screen.print()
    screen.print(table("Persisted", PERSISTED_COLUMNS, map(_persisted_row, rounds)))


def _words(number_of_round: int, one: Round) -> str:
    words = ", ".join(f"{kind} {number(shot.per_second)}/s" for kind, shot in one.shots.items())
    return f"round {number_of_round}, {one.connections} connections: {words}"


def _figure_rows(found: Sequence[Figure]) -> Iterator[tuple[str | Text, ...]]:
    for one in found:
        bars = [f"{words}{bar}" for words, bar in (("", one.bar), ("p99 ", one.p99_bar)) if bar is not None]
        bar = Text(", ".join(bars), "green" if one.reached else "yellow")
        yield str(one.connections), one.name, number(one.per_second), f"{one.ratio:.2f}", bar, f"{one.p50_ms:.1f}", f"{one.p99_ms:.1f}"


def _persisted_row(one: Round) -> tuple[str | Text, ...]:
    found = one.persisted
    counts = map(number, (found.answered, found.reserved, found.in_ledger))
    style = "green" if BACKLOG_BAR.reached(found.after_seconds) else "yellow"
    return (str(one.connections), *counts, f"{found.after_seconds:.1f} s", Text(f"{BACKLOG_BAR} s", style))
