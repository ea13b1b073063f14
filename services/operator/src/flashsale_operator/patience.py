"""A time limit for an answer of another server, which counts only the time in which this process could have noticed the answer.

A slow event loop is not an absent server: with thousands of FlashSales to handle, one turn of the loop may take a second, and an answer
that came meanwhile is only read some turns later. An ordinary timeout would then judge this process's own queue.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

TICK_SECONDS = 0.05
"""Between two looks at the time. A turn of the loop that takes longer counts as no more than this."""
STRETCH_MAX = 10.0
"""The limit ends after this many times its length in any case."""


@asynccontextmanager
async def patiently(seconds: float) -> AsyncIterator[None]:
    """Raises TimeoutError after `seconds`, or later if the loop was slow, but after STRETCH_MAX * `seconds` at the latest."""
    async with asyncio.timeout(None) as scope:
        limit = _Limit(scope, seconds)
        try:
            yield
        finally:
            limit.end()


class _Limit:
    def __init__(self, scope: asyncio.Timeout, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._scope = scope
        self._left_seconds = seconds
        self._looked_at = self._loop.time()
        self._ends_at = self._looked_at + seconds * STRETCH_MAX
        self._wait()

    def end(self) -> None:
        self._timer.cancel()

    def _wait(self) -> None:
        self._timer = self._loop.call_later(min(TICK_SECONDS, self._left_seconds), self._look)

    def _look(self) -> None:
        now = self._loop.time()
        self._left_seconds -= min(now - self._looked_at, TICK_SECONDS)
        self._looked_at = now
        if self._left_seconds <= 0 or now > self._ends_at:
            self._scope.reschedule(now)
        else:
            self._wait()
