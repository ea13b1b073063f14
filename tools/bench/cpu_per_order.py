"""The CPU time that each process of the stack, and wrk, used for an accepted order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median

from flashsale_local_stack import Stack
from tools.bench.processes import TICKS_PER_SECOND, tree_cpu_seconds

NAMED = ("gateway", "redis", "rabbitmq", "order-worker", "postgres", "wrk")
OTHERS = "others"


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Seconds until one moment."""

    by_process: Mapping[str, float]
    idle: float
    """The cores' idle time, added up."""
    all: float
    """The cores' time, added up."""


def read_cpu_times(stack: Stack) -> CpuTimes:
    """The servers' and services' times with those of their children; wrk's count once it has ended."""
    by_process = {status.name: tree_cpu_seconds(status.pid) for status in stack.status() if status.pid}
    ended = getrusage(RUSAGE_CHILDREN)
    # user, nice, system, idle, iowait, irq, softirq, steal: proc(5), /proc/stat.
    ticks = list(map(int, Path("/proc/stat").read_text().split()[1:9]))
    idle, total = (ticks[3] + ticks[4]) / TICKS_PER_SECOND, sum(ticks) / TICKS_PER_SECOND
    return CpuTimes({**by_process, "wrk": ended.ru_utime + ended.ru_stime}, idle, total)


@dataclass(frozen=True, slots=True)
class CpuPerOrder:
    us: Mapping[str, float]
    """Process -> microseconds."""
    idle_share: float
    """The cores' idle time, as a share of all time."""

    @property
    def all_us(self) -> float:
        return sum(self.us.values())

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {self.us[name]:.0f}" for name in (*NAMED, OTHERS) if name in self.us)
        return f"{parts}; cores idle {self.idle_share:.0%}"


def cpu_per_order(before: CpuTimes, after: CpuTimes, orders: int) -> CpuPerOrder:
    """Processes without a name in NAMED are added up."""
    us = {name: (seconds - before.by_process.get(name, 0.0)) * 1e6 / max(1, orders) for name, seconds in after.by_process.items()}
    named = {name: us.pop(name) for name in NAMED if name in us}
    return CpuPerOrder({**named, OTHERS: sum(us.values())}, (after.idle - before.idle) / (after.all - before.all))


def medians(rounds: Sequence[CpuPerOrder]) -> CpuPerOrder:
    """The median of each process's time, and of the idle share."""
    us = {name: median(each.us[name] for each in rounds) for name in rounds[0].us}
    return CpuPerOrder(us, median(each.idle_share for each in rounds))
