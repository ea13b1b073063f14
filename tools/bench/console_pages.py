"""`python -m tools.bench.console_pages`: each page of the console with 10,000 sales and a sale of 1,000,000 orders.

The first request of each page after the console's start counts by itself: a person in a hurry makes it. The sales are real; the orders are
written into the ledger as a real sale would have left them, so only the ledger's pages have all of them.
"""

import asyncio
from collections.abc import Sequence
from statistics import median
from time import perf_counter
from typing import Annotated, NamedTuple

import asyncpg
import typer
import uvloop
from rich.text import Text

from flashsale_cli import sales_client
from flashsale_cli.console import EXIT_FAILED, console, number
from flashsale_cli.http_client import open_session
from flashsale_local_stack import Stack, private_stack
from tests.integration.console import Visitor
from tools.bench.measurements import Measurement, Target
from tools.bench.seed_ledger import Seed, seed_orders

TARGET = Target(200, at_least=False)
REPEATS = 10
AT_ONCE = 32
LEDGER_SECONDS = 300.0
LARGE = "bench-large"
BUYER = "user-00000001"


class Look(NamedTuple):
    path: str
    shows: str
    """A text that the page must contain."""


async def seed(stack: Stack, sales: int, orders: int) -> None:
    """Raises TimeoutError if the ledger does not have the sales after LEDGER_SECONDS."""
    env = stack.env()
    await _define_sales(env["FLASHSALE_URL"], env["FLASHSALE_ADMIN_TOKEN"], [LARGE, *(f"bench-{place:05}" for place in range(1, sales))])
    ledger = await asyncpg.connect(env["DATABASE_URL"])
    try:
        async with asyncio.timeout(LEDGER_SECONDS):
            while await ledger.fetchval("select count(*) from sales") < sales:  # noqa: ASYNC110 - the ledger wakes nobody
                await asyncio.sleep(0.2)
        epoch = await ledger.fetchval("select epoch from sales where sale_id = $1", LARGE)
        await seed_orders(ledger, Seed(LARGE, orders), epoch)
        await ledger.execute("vacuum (analyze)")
    finally:
        await ledger.close()


async def _define_sales(url: str, token: str, sale_ids: Sequence[str]) -> None:
    places = asyncio.Semaphore(AT_ONCE)
    async with open_session(timeout_seconds=60.0) as session:

        async def define(sale_id: str) -> None:
            async with places:
                await sales_client.set_sale(session, url, token, {"productId": sale_id, "stock": 1_000_000, "paymentWindowSeconds": 1800})

        await asyncio.gather(*map(define, sale_ids))


def looks(order_id: str) -> list[Look]:
    return [
        Look("/", "Attention"),
        Look("/sales", "bench-"),
        Look(f"/sales?q={LARGE}", LARGE),
        Look(f"/sales/{LARGE}", LARGE),
        Look(f"/orders?q={BUYER}", BUYER),
        Look(f"/orders/{LARGE}.{order_id}", order_id),
        Look("/refunds", "Refunds"),
        Look("/webhooks", "Webhooks"),
        Look("/changes", "bench-"),
        Look("/system", "System"),
    ]


def measure(visitor: Visitor, look: Look) -> tuple[Measurement, str]:
    """The slower of the first request and the median of the others, and what is wrong with the page; empty if nothing is."""
    first, *others = [_timed(visitor, look) for _ in range(1 + REPEATS)]
    wrong = [words for _, words in (first, *others) if words]
    times = [milliseconds for milliseconds, _ in others]
    details = f"first {first[0]:.0f} ms, median {median(times):.0f} ms, slowest {max(times):.0f} ms"
    return Measurement(look.path, max(first[0], median(times)), "ms", TARGET, details), wrong[0] if wrong else ""


def _timed(visitor: Visitor, look: Look) -> tuple[float, str]:
    began = perf_counter()
    page = visitor.get(look.path)
    milliseconds = 1000 * (perf_counter() - began)
    wrong = page.status != 200 or look.shows not in page.text
    return milliseconds, f"{look.path}: status {page.status}, without {look.shows!r}" if wrong else ""


def main(
    sales: Annotated[int, typer.Option(help="Sales in Redis and in the ledger.", min=1, max=100_000)] = 10_000,
    orders: Annotated[int, typer.Option(help="Orders of one of them in the ledger.", min=10, max=10_000_000)] = 1_000_000,
) -> None:
    """Seed, restart the console, and time its pages. Exit status 1 if a page shows the wrong thing or misses its target."""
    screen, failed = console(), False
    with private_stack(optional=["console"], say=lambda words: screen.print(Text(words, "dim"))) as stack:
        screen.print(Text(f"{number(sales)} sales and {number(orders)} orders are written", "dim"))
        uvloop.run(seed(stack, sales, orders))
        stack.restart("console")
        visitor = Visitor(stack).log_in("viewer")
        for look in looks(uvloop.run(_order_id(stack))):
            measurement, wrong = measure(visitor, look)
            screen.print(Text(f"WRONG {wrong}" if wrong else measurement.verdict()))
            failed = failed or bool(wrong) or not measurement.reached
    if failed:
        raise typer.Exit(EXIT_FAILED)


async def _order_id(stack: Stack) -> str:
    ledger = await asyncpg.connect(stack.env()["DATABASE_URL"])
    try:
        return str(await ledger.fetchval("select order_id from orders where user_id = $1", BUYER))
    finally:
        await ledger.close()


if __name__ == "__main__":
    typer.run(main)
