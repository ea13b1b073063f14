"""Keeps the audit below a share of one core, by the processor time that it used itself."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic, thread_time

PAUSE_SECONDS_MAX = 10.0


def pause_seconds(used_seconds: float, elapsed_seconds: float, cpu_share: float) -> float:
    """How long to pause so that `used_seconds` of processor time are `cpu_share` of the time since they began to be used."""
    return min(max(used_seconds / cpu_share - elapsed_seconds, 0.0), PAUSE_SECONDS_MAX)


@dataclass(slots=True)
class Budget:
    """Counts the thread's time while a part of the audit runs, so what other tasks use meanwhile counts as well: never too little."""

    cpu_share: float
    on_used: Callable[[float], object]
    """Gets the processor time in seconds."""
    _cpu: float = field(default_factory=thread_time)
    _began_at: float = field(default_factory=monotonic)

    async def pace(self) -> None:
        """Pause until what was used since the last call is within the share."""
        used = thread_time() - self._cpu
        self.on_used(used)
        await asyncio.sleep(pause_seconds(used, monotonic() - self._began_at, self.cpu_share))
        self._cpu, self._began_at = thread_time(), monotonic()
