"""One sale against many: what it costs that orders which arrive together are of different sales."""

import asyncio
from statistics import median

from rich.console import Console
from rich.text import Text

from flashsale_cli.console import number
from tools.bench.figures import Bar, Line, Section
from tools.bench.site import STOCK, Site
from tools.bench.wrk import Load, shoot

COUNTS = (1, 100, 10_000)
CONNECTIONS = 512
SETTING_AT_ONCE = 50
BAR = Bar(1.3, at_least=False)


async def measure(site: Site, seconds: int, rounds: int, screen: Console) -> Section:
    """Cost of an order among many sales over its cost in one: the inverse of the rates."""
    loads = {count: Load(await _new_sales(site, count), products=count) for count in COUNTS}
    rates: dict[int, list[float]] = {count: [] for count in COUNTS}
    problems = []
    for _ in range(rounds):
        for count, load in loads.items():
            shot = await shoot(site.url, load, CONNECTIONS, seconds)
            rates[count].append(shot.per_second)
            if shot.refused or shot.broken:
                problems.append(f"{number(count)} sales: {shot.refused} requests refused, {shot.broken} connections broke")
            screen.print(Text(f"{number(count)} sales: {number(shot.per_second)}/s, p99 {shot.p99_ms:.0f} ms", "dim"))
    one = median(rates[1])
    lines = [
        Line(
            f"cost of an order, {number(count)} sales to one",
            one / median(rates[count]),
            "x",
            BAR,
            f"{number(median(rates[count]))} orders/s",
        )
        for count in COUNTS
    ]
    return Section(
        f"Many sales, {CONNECTIONS} connections",
        lines,
        problems,
        [name for count, load in loads.items() for name in _names(load.product_id, count)],
    )


async def _new_sales(site: Site, count: int) -> str:
    if count == 1:
        return await site.new_sale("bench-one")
    prefix = await site.new_sale(f"bench-{count}")
    names = _names(prefix, count)
    for start in range(0, count, SETTING_AT_ONCE):
        await asyncio.gather(*(site.set_sale(name, STOCK) for name in names[start : start + SETTING_AT_ONCE]))
    return prefix


def _names(prefix: str, count: int) -> list[str]:
    return [prefix] if count == 1 else [f"{prefix}-{number}" for number in range(count)]
