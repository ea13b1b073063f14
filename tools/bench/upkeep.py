"""What the services cost when nobody buys, and how long they take to start."""

import asyncio
import os
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.text import Text

from flashsale_local_stack import SERVICES, Stack
from tools.bench.figures import Bar, Line, Section

QUIET_SECONDS = 10.0
IDLE_SECONDS = 30.0
CPU_BAR = Bar(1.0, at_least=False)
MEMORY_BAR = Bar(250, at_least=False)
TICKS = os.sysconf("SC_CLK_TCK")


async def idle(stack: Stack, screen: Console) -> Section:
    """CPU and memory of gateway, order-worker and timeout-worker over IDLE_SECONDS without a request."""
    screen.print(Text(f"idle for {QUIET_SECONDS + IDLE_SECONDS:.0f} s", "dim"))
    await asyncio.sleep(QUIET_SECONDS)
    pids = {status.name: status.pid for status in stack.status() if status.name in SERVICES and status.pid}
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    await asyncio.sleep(IDLE_SECONDS)
    shares = {name: (cpu_seconds(pid) - before[name]) / IDLE_SECONDS * 100 for name, pid in pids.items()}
    sizes = {name: _resident_mb(pid) for name, pid in pids.items()}
    lines = [
        Line("idle services together, of a core", sum(shares.values()), "%", CPU_BAR, _each(shares, "%")),
        Line("idle services together, memory", sum(sizes.values()), "MB", MEMORY_BAR, _each(sizes, "MB")),
    ]
    return Section("Idle: gateway, order-worker, timeout-worker", lines)


async def cold_start(stack: Stack) -> Section:
    """From the start of the process to a 200 of /readyz; servers are up."""
    lines = []
    for name in SERVICES:
        await asyncio.to_thread(stack.stop, name)
        started = monotonic()
        await asyncio.to_thread(stack.start, name)
        lines.append(Line(f"{name} ready after", monotonic() - started, "s"))
    return Section("Cold start", lines)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _resident_mb(pid: int) -> float:
    """Its share of pages that several map (PSS): what the machine would get back."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _each(values: dict[str, float], unit: str) -> str:
    return ", ".join(f"{name} {value:.1f} {unit}" for name, value in values.items())
