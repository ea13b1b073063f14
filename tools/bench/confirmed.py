"""Accepted orders of a sale with the durability `confirmed`, compared with those of an `fsync` sale in the same rounds."""

from collections.abc import Mapping, Sequence
from statistics import median

from rich.console import Console
from rich.text import Text

from flashsale_cli.console import number
from flashsale_local_stack import Stack
from tools.bench.cpu_per_order import CpuPerOrder, cpu_per_order, medians, read_cpu_times
from tools.bench.measurements import Measurement, Section, Target
from tools.bench.testbed import Testbed
from tools.bench.wrk import Load, WrkResult, run_wrk

TARGET_CONNECTIONS = 64
"""The number of connections that the targets are for."""
RATE_TARGET = Target(0.85)
DELAY_TARGET = Target(5.0, at_least=False)
"""Milliseconds."""
MODES = ("fsync", "confirmed")
Results = dict[str, list[WrkResult]]
"""Results of all rounds, by durability."""


async def measure(testbed: Testbed, stack: Stack, connections: Sequence[int], seconds: int, rounds: int, screen: Console) -> Section:
    sale_ids = {mode: await testbed.new_sale(f"bench-{mode}", durability=mode) for mode in MODES}
    measurements, problems = [], []
    for count in connections:
        results: Results = {mode: [] for mode in MODES}
        cpu: dict[str, list[CpuPerOrder]] = {mode: [] for mode in MODES}
        for index in range(rounds):
            # Otherwise it happens during a measurement, and takes a core from one of the modes.
            await testbed.finish_maintenance()
            # The modes take turns at coming first, and each begins with an empty pipeline.
            for mode in MODES if index % 2 else reversed(MODES):
                before = read_cpu_times(stack)
                results[mode].append(await run_wrk(testbed.url, Load(sale_ids[mode]), count, seconds))
                cpu[mode].append(cpu_per_order(before, read_cpu_times(stack), results[mode][-1].accepted))
                await testbed.settle(sale_ids[mode])
            screen.print(Text(_progress(count, results), "dim"))
        measurements += [*compared(count, results), *_cpu(count, {mode: medians(cpu[mode]) for mode in MODES})]
        problems += [f"{count} connections, {mode}: {problem}" for mode in MODES for problem in _problems(results[mode])]
    return Section("Durability confirmed, compared with fsync", measurements, problems, [*sale_ids.values()])


def compared(connections: int, results: Results) -> list[Measurement]:
    """The rate and the response time of `confirmed`, each as the median of its rounds."""
    rates = {mode: median(result.per_second for result in results[mode]) for mode in MODES}
    delays = {mode: median(result.p50_ms for result in results[mode]) for mode in MODES}
    targets = (RATE_TARGET, DELAY_TARGET) if connections == TARGET_CONNECTIONS else (None, None)
    orders = f"accepted orders, confirmed, {connections} connections"
    rate_details = f"{number(rates['confirmed'])}/s, fsync {number(rates['fsync'])}/s"
    delay_details = f"{delays['confirmed']:.1f} ms, fsync {delays['fsync']:.1f} ms"
    return [
        Measurement(orders, rates["confirmed"] / rates["fsync"], "times fsync", targets[0], rate_details),
        Measurement(f"{orders}, p50 above fsync", delays["confirmed"] - delays["fsync"], "ms", targets[1], delay_details),
    ]


def _cpu(connections: int, cpu: Mapping[str, CpuPerOrder]) -> list[Measurement]:
    return [
        Measurement(f"CPU time, {mode}, {connections} connections", cpu[mode].all_us, "µs per order", details=str(cpu[mode]))
        for mode in MODES
    ]


def _progress(connections: int, results: Results) -> str:
    words = ", ".join(f"{mode} {number(results[mode][-1].per_second)}/s at p50 {results[mode][-1].p50_ms:.1f} ms" for mode in MODES)
    return f"confirmed, {connections} connections: {words}"


def _problems(results: Sequence[WrkResult]) -> list[str]:
    return [
        f"{result.refused} requests refused, {result.broken} connections broke" for result in results if result.refused or result.broken
    ]
