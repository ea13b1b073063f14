"""Keeps the audit below a share of one core, by its own processor time, and below a share of Redis, by what it read there."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic, thread_time

PAUSE_SECONDS_MIN = 1.0
"""Shorter pauses are saved up: after each one, the processor's caches are cold."""
PAUSE_SECONDS_MAX = 10.0
ENTRIES_PER_SECOND_MAX = 20_000.0
"""An order costs Redis 1 to 1.6 us, another entry about 0.6, so this is 2 to 3 % of its core."""


def pause_seconds(used: float, elapsed_seconds: float, per_second: float) -> float:
    """How long to pause so that `used` is `per_second` of the time since it began to be used."""
    return min(max(used / per_second - elapsed_seconds, 0.0), PAUSE_SECONDS_MAX)


@dataclass(slots=True)
class Budget:
    """Counts the thread's time while a part of the audit runs, so what other tasks use meanwhile counts as well: never too little."""

    cpu_share: float
    on_used: Callable[[float], object]
    """Gets the processor time in seconds."""
    entries: Callable[[], int] = lambda: 0
    """How many entries of large keys were read so far."""
    entries_per_second: float = ENTRIES_PER_SECOND_MAX
    pause_seconds_min: float = PAUSE_SECONDS_MIN
    _cpu: float = field(default_factory=thread_time)
    _began_at: float = field(default_factory=monotonic)
    _read: int = 0

    async def settle(self) -> None:
        """Pause for all that was not paused for, however short: at the end of a round, for the next one begins to count again."""
        await self.pace(0.0)

    async def pace(self, least_seconds: float | None = None) -> None:
        """Pause until what was used and read since the last pause is within the shares, unless that takes less than `least_seconds`."""
        used, read = thread_time() - self._cpu, self.entries() - self._read
        elapsed = monotonic() - self._began_at
        pause = max(pause_seconds(used, elapsed, self.cpu_share), pause_seconds(read, elapsed, self.entries_per_second))
        if pause < (self.pause_seconds_min if least_seconds is None else least_seconds):
            return
        self.on_used(used)
        await asyncio.sleep(pause)
        self._cpu, self._began_at, self._read = thread_time(), monotonic(), self.entries()
