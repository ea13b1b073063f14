"""One answer for all who ask while it is being made: its cost does not grow with their number."""

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """`make`, called at most once at a time, and no sooner than `pause_seconds` after it was called last."""

    def __init__(self, make: Callable[[], Awaitable[T]], pause_seconds: float = 0) -> None:
        self._make = make
        self._pause_seconds = pause_seconds
        self._made_at = -inf
        self._making: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """What the call returns or raises that is under way, or the next one: never one that was over before this was asked."""
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(self._next())
        # One that gives up waiting must not end what others wait for.
        return await asyncio.shield(self._making)

    async def _next(self) -> T:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._made_at + self._pause_seconds - loop.time()))
        self._made_at = loop.time()
        return await self._make()
