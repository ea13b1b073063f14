"""`python -m bench.run`: accepted orders and sold-out answers per second beside a bare Starlette endpoint, and what of them is kept."""

import asyncio
import json
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Annotated
from uuid import uuid4

import aiohttp
import asyncpg
import typer
import uvloop
from rich.console import Console
from rich.text import Text

from bench.figures import Persisted, Round, figures, to_json
from bench.machine import describe
from bench.wrk import shoot
from flashsale_cli import sales
from flashsale_cli.audit import report as audit_report
from flashsale_cli.audit.open import audit_stores
from flashsale_cli.audit.run import Options, Report
from flashsale_cli.console import EXIT_FAILED, EXIT_UNREACHABLE, console, number, table
from flashsale_cli.environment import Surroundings
from flashsale_cli.load.plan import Crowd, plan
from flashsale_cli.load.run import Target, run
from flashsale_cli.load.tally import Tally
from flashsale_cli.own_stack import HOME, running_stack
from flashsale_cli.web import open_session
from flashsale_core.errors import Retryable

CONNECTIONS = (64, 512)
STOCK = 100_000_000
WINDOW_SECONDS = 1800
PERSIST_SECONDS = 5.0
POLL_SECONDS = 0.1
SETTLE_SECONDS = 60.0
START_SECONDS = 10.0
SOLD_OUT_STOCK = 10
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Bench:
    here: Surroundings
    bare_url: str
    session: aiohttp.ClientSession
    ledger: "asyncpg.Connection[asyncpg.Record]"
    open_id: str
    sold_out_id: str
    seconds: int

    async def round(self, connections: int) -> Round:
        """Bare, sold out, accepted; the accepted last, so that what the ledger still writes disturbs nobody's figure."""
        url = self.here.url()
        bare = await shoot(self.bare_url, self.open_id, _prefix(), connections, self.seconds)
        sold_out = await shoot(url, self.sold_out_id, _prefix(), connections, self.seconds)
        before = await self._reserved()
        accepted = await shoot(url, self.open_id, _prefix(), connections, self.seconds)
        return Round(connections, bare, accepted, sold_out, await self._persisted(before, accepted.accepted))

    async def _persisted(self, before: int, answered: int) -> Persisted:
        ended_at = monotonic()
        while True:
            reserved, in_ledger = await self._reserved(), await self._in_ledger()
            after_seconds = monotonic() - ended_at
            if reserved == in_ledger or after_seconds >= PERSIST_SECONDS:
                return Persisted(answered, reserved - before, in_ledger - before, after_seconds)
            await asyncio.sleep(POLL_SECONDS)

    async def _reserved(self) -> int:
        return int((await sales.get_sale(self.session, self.here.url(), self.open_id))["reserved"])

    async def _in_ledger(self) -> int:
        return int(await self.ledger.fetchval("select count(*) from orders where sale_id = $1", self.open_id))


async def measure(here: Surroundings, seconds: int, rounds: int, screen: Console) -> tuple[list[Round], Report]:
    async with open_bench(here, seconds) as bench:
        found = []
        for number_of_round in range(rounds):
            for connections in CONNECTIONS:
                found.append(await bench.round(connections))
                screen.print(Text(_words(number_of_round + 1, found[-1]), "dim"))
        return found, await audit_stores(here, Options((bench.open_id, bench.sold_out_id)), SETTLE_SECONDS)


@asynccontextmanager
async def open_bench(here: Surroundings, seconds: int) -> AsyncIterator[Bench]:
    ledger = await asyncpg.connect(here.text("DATABASE_URL"))
    try:
        async with open_session(30.0) as session, bare_server(session) as bare_url:
            open_id = await _new_sale(session, here, "bench", STOCK)
            sold_out_id = await _new_sale(session, here, "bench-sold-out", SOLD_OUT_STOCK)
            clicks = plan(Crowd(product_id=sold_out_id, buyers=SOLD_OUT_STOCK, prefix=_prefix()))
            await run(clicks, Target(here.url()), Tally(len(clicks)))
            yield Bench(here, bare_url, session, ledger, open_id, sold_out_id, seconds)
    finally:
        await ledger.close()


@asynccontextmanager
async def bare_server(session: aiohttp.ClientSession) -> AsyncIterator[str]:
    """The endpoint of bench/bare.py, in a process of its own as the gateway is."""
    port = _free_port()
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.bare", str(port), cwd=Path(__file__).parents[1])
    try:
        await _wait_for(session, f"http://127.0.0.1:{port}/order")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


def main(
    seconds: Annotated[int, typer.Option(help="How long each measurement takes.", min=1, max=60)] = 5,
    rounds: Annotated[int, typer.Option(help="How often each is repeated, in turn; the medians count.", min=1, max=20)] = 3,
    home: Annotated[Path, typer.Option(help="Folder of the stack; it is used if it runs, else started and stopped again.")] = HOME,
    results: Annotated[Path, typer.Option(help="Folder for the result as JSON.")] = RESULTS,
) -> None:
    """Measure orders per second. Exit status 1 when figures and stores do not agree; a missed aim is said and is no failure."""
    screen = console()
    if shutil.which("wrk") is None:
        screen.print("bench: wrk is not installed; try `apt-get install wrk`", style="red")
        raise typer.Exit(EXIT_UNREACHABLE)
    with running_stack(home, 0, lambda words: screen.print(Text(words, "dim"))) as here:
        found, audit = uvloop.run(measure(here, seconds, rounds, screen))
    problems = [f"{one.connections} connections: {problem}" for one in found for problem in one.problems()]
    path = write(results, found, audit, problems)
    show(found, audit, problems, screen)
    screen.print(Text(f"written to {path.name}", "dim"))
    if problems or not audit.findings.clean():
        raise typer.Exit(EXIT_FAILED)


def show(rounds: list[Round], audit: Report, problems: list[str], screen: Console) -> None:
    screen.print()
    columns = ("connections", " what", "per second", "beside bare", "aim", "p50, ms", "p99, ms")
    screen.print(table("Medians", columns, _figure_rows(rounds)))
    screen.print()
    screen.print(
        table("Persisted", ("connections", "answered", "in Redis", "in the ledger", "after the load"), map(_persisted_row, rounds))
    )
    screen.print()
    screen.print(audit_report.render(audit))
    for problem in problems:
        screen.print(Text(problem, "red"))


def write(results: Path, rounds: list[Round], audit: Report, problems: list[str]) -> Path:
    at = datetime.now(UTC)
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"bench-{at:%Y%m%dT%H%M%SZ}.json"
    document = {"at": at.isoformat(timespec="seconds"), "machine": describe(), "problems": problems, **to_json(rounds)}
    path.write_text(json.dumps({**document, "audit": audit_report.to_json(audit)}, indent=2) + "\n")
    return path


async def _new_sale(session: aiohttp.ClientSession, here: Surroundings, name: str, stock: int) -> str:
    product_id = f"{name}-{uuid4().hex[:8]}"
    wanted = {"productId": product_id, "stock": stock, "paymentWindowSeconds": WINDOW_SECONDS}
    await sales.set_sale(session, here.url(), here.text("FLASHSALE_ADMIN_TOKEN"), wanted)
    return product_id


async def _wait_for(session: aiohttp.ClientSession, url: str) -> None:
    give_up_at = monotonic() + START_SECONDS
    while True:
        try:
            async with session.get(url):
                return
        except aiohttp.ClientError as error:
            if monotonic() >= give_up_at:
                raise Retryable(f"{url} does not answer") from error
            await asyncio.sleep(POLL_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _prefix() -> str:
    return uuid4().hex[:12]


def _words(number_of_round: int, one: Round) -> str:
    rates = {"bare": one.bare, "sold out": one.sold_out, "accepted": one.accepted}
    words = ", ".join(f"{name} {number(shot.per_second)}/s" for name, shot in rates.items())
    return f"round {number_of_round}, {one.connections} connections: {words}"


def _figure_rows(rounds: list[Round]) -> Iterator[tuple[str | Text, ...]]:
    for one in figures(rounds):
        aim = Text("") if one.aim is None else Text(f"{one.aim:.2f}", "green" if one.reached else "yellow")
        yield str(one.connections), one.name, number(one.per_second), f"{one.ratio:.2f}", aim, f"{one.p50_ms:.1f}", f"{one.p99_ms:.1f}"


def _persisted_row(one: Round) -> tuple[str, ...]:
    found = one.persisted
    return (str(one.connections), *map(number, (found.answered, found.reserved, found.in_ledger)), f"{found.after_seconds:.1f} s")


if __name__ == "__main__":
    typer.run(main)
