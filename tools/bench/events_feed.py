"""`python -m tools.bench.events_feed`: 100,000 events that commit late and out of order, read through the feed meanwhile: 0 are missed."""

import asyncio
from random import Random
from typing import Annotated

import asyncpg
import typer

from flashsale_cli.console import EXIT_FAILED, console, number
from flashsale_ledger_api.event_documents import FIRST, cursor_of
from flashsale_ledger_api.queries import QUERIES
from flashsale_local_stack import private_stack

WRITERS = 16
EVENTS_EACH = 20
PAGE = 1000
HOLD_SECONDS_MAX = 0.05
"""How long a transaction stays open after it got its position."""
INSERT = (
    "insert into shop_events (event_id, type, sale_id, at, body) select key, 'order.paid', 'shoe', now(), '{}' from unnest($1::text[]) key"
)


async def write(url: str, number_of_writer: int, events: int) -> None:
    connection, rng = await asyncpg.connect(url), Random(number_of_writer)  # noqa: S311 - it only spreads the load
    for start in range(0, events, EVENTS_EACH):
        async with connection.transaction():
            await connection.execute(INSERT, [f"{number_of_writer}-{place}" for place in range(start, min(start + EVENTS_EACH, events))])
            await asyncio.sleep(rng.random() * HOLD_SECONDS_MAX)
    await connection.close()


async def read(url: str, writers: "asyncio.Future[list[None]]") -> list[str]:
    connection, after, keys = await asyncpg.connect(url), FIRST, list[str]()
    while True:
        ended = writers.done()
        rows = await connection.fetch(QUERIES["list_events"], str(after.transaction), after.seq, [], PAGE)
        keys += [row["event_id"] for row in rows]
        after = cursor_of(dict(rows[-1])) if rows else after
        if ended and not rows:
            await connection.close()
            return keys
        if not rows:
            await asyncio.sleep(0.005)


async def measure(url: str, events: int) -> tuple[int, int]:
    """(missed, read twice)."""
    writers = asyncio.gather(*(write(url, writer, events // WRITERS) for writer in range(WRITERS)))
    keys = await read(url, writers)
    await writers
    return events // WRITERS * WRITERS - len(set(keys)), len(keys) - len(set(keys))


def main(events: Annotated[int, typer.Option(help="How many events are written.", min=1000)] = 100_000) -> None:
    """Exit status 1 if an event is missed, or is read twice."""
    with private_stack(services=False) as stack:
        missed, twice = asyncio.run(measure(stack.env()["DATABASE_URL"], events))
    console().print(f"{number(events)} events by {WRITERS} writers: {number(missed)} missed, {number(twice)} read twice")
    raise typer.Exit(EXIT_FAILED if missed or twice else 0)


if __name__ == "__main__":
    typer.run(main)
