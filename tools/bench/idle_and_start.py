"""What the services use while nobody orders, and how long they take to start."""

import asyncio
from time import monotonic

from rich.console import Console
from rich.text import Text

from flashsale_local_stack import SERVICES, Stack
from tools.bench.measurements import Measurement, Section, Target
from tools.bench.processes import cpu_seconds, memory_mb

QUIET_SECONDS = 10.0
IDLE_SECONDS = 30.0
CPU_TARGET = Target(1.0, at_least=False)
MEMORY_TARGET = Target(250, at_least=False)


async def measure_idle(stack: Stack, screen: Console) -> Section:
    """CPU and memory of the services over IDLE_SECONDS without a request."""
    screen.print(Text(f"idle for {QUIET_SECONDS + IDLE_SECONDS:.0f} s", "dim"))
    await asyncio.sleep(QUIET_SECONDS)
    pids = {status.name: status.pid for status in stack.status() if status.name in SERVICES and status.pid}
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    await asyncio.sleep(IDLE_SECONDS)
    shares = {name: (cpu_seconds(pid) - before[name]) / IDLE_SECONDS * 100 for name, pid in pids.items()}
    sizes = {name: memory_mb(pid) for name, pid in pids.items()}
    measurements = [
        Measurement("CPU of all services, idle", sum(shares.values()), "% of a core", CPU_TARGET, _each(shares, "%")),
        Measurement("memory of all services, idle", sum(sizes.values()), "MB", MEMORY_TARGET, _each(sizes, "MB")),
    ]
    return Section("Idle: " + ", ".join(SERVICES), measurements)


async def measure_cold_start(stack: Stack) -> Section:
    """Seconds from the start of each process until its /readyz answers 200. The servers are up."""
    measurements = []
    for name in SERVICES:
        await asyncio.to_thread(stack.stop, name)
        started = monotonic()
        await asyncio.to_thread(stack.start, name)
        measurements.append(Measurement(f"time until {name} is ready", monotonic() - started, "s"))
    return Section("Cold start", measurements)


def _each(values: dict[str, float], unit: str) -> str:
    return ", ".join(f"{name} {value:.1f} {unit}" for name, value in values.items())
