"""Injects faults: the registry of all kinds, and the faults of processes."""

from collections.abc import Awaitable, Callable

from flashsale_chaos.bench import Bench
from flashsale_chaos.faults import Fault

Injector = Callable[[Bench, Fault], Awaitable[None]]

INJECTORS: dict[str, Injector] = {}
"""By kind. Each injects its fault, waits `lasts_seconds` and undoes it in `finally`. Other modules add theirs."""


async def heal(bench: Bench) -> None:
    """Everything runs, and all links are plain."""
