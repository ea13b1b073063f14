"""One, two and four gateways on the same stores: orders per second together, and what an order costs each component.

On one machine more gateways share the cores with all else, so the rates say little of more machines. The CPU seconds do: docs/scaling.md
reckons with them.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import median

from rich.console import Console
from rich.text import Text

from flashsale_cli.console import number
from flashsale_local_stack import Stack, descendants
from tools.bench.figures import Line, Section
from tools.bench.site import Served, Site, free_port, serving
from tools.bench.upkeep import cpu_seconds
from tools.bench.wrk import Load, Shot, shoot

GATEWAYS = (1, 2, 4)
CONNECTIONS = 512
"""Of all gateways together."""


async def measure(site: Site, stack: Stack, seconds: int, rounds: int, screen: Console) -> Section:
    sale_id = await site.new_sale("bench-scale")
    lines: list[Line] = []
    problems: list[str] = []
    async with AsyncExitStack() as held:
        others: list[Served] = []
        for count in GATEWAYS:
            while len(others) < count - 1:
                others.append(await held.enter_async_context(_gateway(site, stack)))
            urls, pids = [site.url, *[one.url for one in others]], _pids(stack, others)
            rates: list[float] = []
            costs: list[Mapping[str, float]] = []
            for _ in range(rounds):
                per_second, cost, shots = await _round(site, sale_id, urls, pids, seconds)
                rates.append(per_second)
                costs.append(cost)
                problems += [
                    f"{count} gateways: {shot.refused} refused, {shot.broken} broke" for shot in shots if shot.refused or shot.broken
                ]
                screen.print(Text(f"{count} gateways: {number(per_second)} orders/s", "dim"))
            lines += _lines(count, rates, costs)
    return Section("Scale: gateways on the same stores", lines, problems, [sale_id])


@asynccontextmanager
async def _gateway(site: Site, stack: Stack) -> AsyncIterator[Served]:
    port = free_port()
    env = {**os.environ, **stack.env(), "FLASHSALE_PORT": str(port), "FLASHSALE_LOG_LEVEL": "ERROR"}
    async with serving(site.session, port, "/readyz", "flashsale_gateway", env=env) as served:
        yield served


def _pids(stack: Stack, others: Sequence[Served]) -> dict[str, list[int]]:
    """The processes of each component; the masters of a Redis Cluster are one component, and so are all gateways."""
    found: dict[str, list[int]] = {"gateway": [one.pid for one in others]}
    for status in stack.status():
        if status.pid:
            name = "redis" if status.name.startswith("redis") else status.name
            found.setdefault(name, []).extend([status.pid, *[child.pid for child in descendants(status.pid)]])
    return found


async def _round(
    site: Site, sale_id: str, urls: Sequence[str], pids: Mapping[str, Sequence[int]], seconds: int
) -> tuple[float, dict[str, float], list[Shot]]:
    """Orders per second of all gateways together, CPU seconds of each component for 1,000 of them until they are in the ledger."""
    reserved, before = await site.counter(sale_id, "reserved"), _cpu(pids)
    shots = await asyncio.gather(*[shoot(url, Load(sale_id), CONNECTIONS // len(urls), seconds) for url in urls])
    known = await site.counter(sale_id, "reserved")
    await site.caught_up(sale_id, known)
    accepted = max(1, known - reserved)
    cost = {name: (spent - before[name]) * 1000 / accepted for name, spent in _cpu(pids).items()}
    return accepted / max(shot.seconds for shot in shots), cost, list(shots)


def _cpu(pids: Mapping[str, Sequence[int]]) -> dict[str, float]:
    return {name: sum(map(_spent, some)) for name, some in pids.items()}


def _spent(pid: int) -> float:
    """One that ended meanwhile, a connection's Postgres for one, counts from then on as nothing."""
    try:
        return cpu_seconds(pid)
    except OSError:
        return 0.0


def _lines(count: int, rates: Sequence[float], costs: Sequence[Mapping[str, float]]) -> list[Line]:
    words = f"{number(median(rates))} in each of {len(rates)} rounds at the median, {CONNECTIONS} connections"
    cost_of = {name: median(cost[name] for cost in costs) for name in sorted(costs[0])}
    each = [Line(f"{count} gateways: {name}, CPU of 1,000 orders", 1000 * spent, "ms") for name, spent in cost_of.items()]
    return [Line(f"{count} gateways: orders", median(rates), "/s", None, words), *each]
