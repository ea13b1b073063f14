"""Injects the faults of a round, which overlap, and notes what could not be injected."""

import asyncio
import time
from collections.abc import Sequence

from msgspec.structs import replace

from flashsale_chaos.bench import Bench
from flashsale_chaos.faults import Fault
from flashsale_chaos.inject import INJECTORS
from flashsale_chaos.report import Report, describe
from flashsale_core.errors import FlashsaleError

INJECTION_TIMEOUT_SECONDS = 240.0
"""How long a fault may wait for others on its target, and take to be undone."""


async def inject_all(bench: Bench, faults: Sequence[Fault], report: Report) -> list[Fault]:
    """The faults as they were: with the targets that they hit, and each until its real end. Returns when each was undone."""
    # Faults that come one at a time wait for all before them.
    timeout_seconds = INJECTION_TIMEOUT_SECONDS * (len(faults) if bench.losses_only else 1)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(_inject(bench, fault, report, timeout_seconds)) for fault in faults]
    return [fault for task in running if (fault := task.result()) is not None]


async def _inject(bench: Bench, fault: Fault, report: Report, timeout_seconds: float) -> Fault | None:
    if fault.kind in bench.skipped:
        report.skipped[fault.kind] = bench.skipped[fault.kind]
        return None
    await asyncio.sleep(fault.at_seconds)
    began = time.monotonic()
    try:
        async with asyncio.timeout(timeout_seconds):
            await INJECTORS[fault.kind](bench, fault)
    except (FlashsaleError, OSError) as error:
        report.impossible.append(f"{describe(fault).strip()}: {type(error).__name__} {error}")
    else:
        report.faults += 1
        report.kinds[fault.kind] = report.kinds.get(fault.kind, 0) + 1
    target = bench.moved.get(fault.number, fault.target)
    return replace(fault, target=target, lasts_seconds=time.monotonic() - began)
