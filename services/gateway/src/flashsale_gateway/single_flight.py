"""One call shared by everyone who asks while it runs: its cost does not grow with their number."""

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Runs `call` once at a time, each run beginning at least `pause_seconds` after the one before."""

    def __init__(self, call: Callable[[], Awaitable[T]], pause_seconds: float = 0) -> None:
        self._call = call
        self._pause_seconds = pause_seconds
        self._called_at = -inf
        self._running: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """What the running call, or else a new one, returns or raises: never the result of a call that ended before."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._next())
        # A caller that is cancelled must not cancel the call that others wait for.
        return await asyncio.shield(self._running)

    async def _next(self) -> T:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._called_at + self._pause_seconds - loop.time()))
        self._called_at = loop.time()
        return await self._call()
