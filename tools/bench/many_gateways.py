"""One, two and four gateways on the same stores: accepted orders per second of all, and the CPU that an order costs each component.

On one machine, more gateways share the cores with everything else, so the rates do not predict those of more machines.
The CPU seconds do; docs/scaling.md calculates with them.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.text import Text

from flashsale_cli.console import number
from flashsale_local_stack import Stack, descendants
from tools.bench.measurements import Measurement, Section
from tools.bench.processes import Server, cpu_seconds, serving_gateway
from tools.bench.testbed import Testbed
from tools.bench.wrk import Load, WrkResult, run_wrk

GATEWAYS = (1, 2, 4)
CONNECTIONS = 512
"""All gateways together."""


@dataclass(frozen=True, slots=True)
class GatewaysRound:
    per_second: float
    """Accepted orders of all gateways together."""
    cpu_seconds: Mapping[str, float]
    """Component -> CPU seconds for 1,000 orders, until they are in the ledger."""
    results: Sequence[WrkResult]


async def measure(testbed: Testbed, stack: Stack, seconds: int, rounds: int, screen: Console) -> Section:
    sale_id = await testbed.new_sale("bench-scale")
    measurements: list[Measurement] = []
    problems: list[str] = []
    async with AsyncExitStack() as held:
        others: list[Server] = []
        for count in GATEWAYS:
            while len(others) < count - 1:
                others.append(await held.enter_async_context(serving_gateway(testbed.session, {**os.environ, **stack.env()})))
            urls, pids = [testbed.url, *[other.url for other in others]], _pids(stack, others)
            done = []
            for _ in range(rounds):
                done.append(await _round(testbed, sale_id, urls, pids, seconds))
                screen.print(Text(f"{_named(count)}: {number(done[-1].per_second)} orders/s", "dim"))
            measurements += _measurements(count, done)
            problems += _problems(count, done)
    return Section("Many gateways on the same stores", measurements, problems, [sale_id])


def _pids(stack: Stack, others: Sequence[Server]) -> dict[str, list[int]]:
    """Component -> its processes. The masters of a Redis Cluster are one component, and so are all gateways."""
    pids: dict[str, list[int]] = {"gateway": [other.pid for other in others]}
    for status in stack.status():
        if status.pid:
            name = "redis" if status.name.startswith("redis") else status.name
            pids.setdefault(name, []).extend([status.pid, *[child.pid for child in descendants(status.pid)]])
    return pids


async def _round(testbed: Testbed, sale_id: str, urls: Sequence[str], pids: Mapping[str, Sequence[int]], seconds: int) -> GatewaysRound:
    reserved_before, cpu_before = await testbed.counter(sale_id, "reserved"), _cpu(pids)
    results = await asyncio.gather(*[run_wrk(url, Load(sale_id), CONNECTIONS // len(urls), seconds) for url in urls])
    reserved = await testbed.counter(sale_id, "reserved")
    await testbed.wait_for_ledger(sale_id, reserved)
    accepted = max(1, reserved - reserved_before)
    cpu = {name: (spent - cpu_before[name]) * 1000 / accepted for name, spent in _cpu(pids).items()}
    return GatewaysRound(accepted / max(result.seconds for result in results), cpu, results)


def _cpu(pids: Mapping[str, Sequence[int]]) -> dict[str, float]:
    return {name: sum(map(_spent, of_component)) for name, of_component in pids.items()}


def _spent(pid: int) -> float:
    """CPU seconds; 0 for a process that has ended meanwhile, such as a connection's Postgres."""
    try:
        return cpu_seconds(pid)
    except OSError:
        return 0.0


def _measurements(count: int, rounds: Sequence[GatewaysRound]) -> list[Measurement]:
    rate = median(each.per_second for each in rounds)
    cpu = {name: median(each.cpu_seconds[name] for each in rounds) for name in sorted(rounds[0].cpu_seconds)}
    by_component = [Measurement(f"{_named(count)}: CPU of {name} per 1,000 orders", 1000 * spent, "ms") for name, spent in cpu.items()]
    return [Measurement(f"{_named(count)}: accepted orders", rate, "/s", None, f"{CONNECTIONS} connections"), *by_component]


def _problems(count: int, rounds: Sequence[GatewaysRound]) -> list[str]:
    bad = [result for each in rounds for result in each.results if result.refused or result.broken]
    return [f"{_named(count)}: {result.refused} refused, {result.broken} broke" for result in bad]


def _named(count: int) -> str:
    return f"{count} gateway{'s' if count > 1 else ''}"
