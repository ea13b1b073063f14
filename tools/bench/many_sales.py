"""One sale against many: what an order costs when orders that arrive together belong to different sales."""

import asyncio
from statistics import median

from rich.console import Console
from rich.text import Text

from flashsale_cli.console import number
from tools.bench.measurements import Measurement, Section, Target
from tools.bench.testbed import STOCK, Testbed
from tools.bench.wrk import Load, run_wrk

COUNTS = (1, 100, 10_000)
CONNECTIONS = 512
CREATED_AT_ONCE = 50
TARGET = Target(1.3, at_least=False)


async def measure(testbed: Testbed, seconds: int, rounds: int, screen: Console) -> Section:
    """Cost of an order among many sales, divided by its cost in one: the inverse of the rates."""
    loads = {count: Load(await _new_sales(testbed, count), products=count) for count in COUNTS}
    rates: dict[int, list[float]] = {count: [] for count in COUNTS}
    problems = []
    for _ in range(rounds):
        for count, load in loads.items():
            result = await run_wrk(testbed.url, load, CONNECTIONS, seconds)
            rates[count].append(result.per_second)
            if result.refused or result.broken:
                problems.append(f"{number(count)} sales: {result.refused} requests refused, {result.broken} connections broke")
            screen.print(Text(f"{number(count)} sales: {number(result.per_second)}/s, p99 {result.p99_ms:.0f} ms", "dim"))
    medians = {count: median(of_count) for count, of_count in rates.items()}
    sale_ids = [sale_id for count, load in loads.items() for sale_id in _sale_ids(load.product_id, count)]
    return Section(f"Many sales, {CONNECTIONS} connections", [_cost(count, medians) for count in COUNTS], problems, sale_ids)


def _cost(count: int, medians: dict[int, float]) -> Measurement:
    name = f"cost of an order when orders are for {number(count)} sales, compared with one sale"
    return Measurement(name, medians[1] / medians[count], "times", TARGET, f"{number(medians[count])} orders/s")


async def _new_sales(testbed: Testbed, count: int) -> str:
    """Create the sales. Returns the part that their ids share."""
    if count == 1:
        return await testbed.new_sale("bench-one")
    prefix = await testbed.new_sale(f"bench-{count}")
    sale_ids = _sale_ids(prefix, count)
    for start in range(0, count, CREATED_AT_ONCE):
        await asyncio.gather(*(testbed.set_sale(sale_id, STOCK) for sale_id in sale_ids[start : start + CREATED_AT_ONCE]))
    return prefix


def _sale_ids(prefix: str, count: int) -> list[str]:
    return [prefix] if count == 1 else [f"{prefix}-{index}" for index in range(count)]
