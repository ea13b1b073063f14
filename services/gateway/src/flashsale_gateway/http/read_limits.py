"""Bounds on all that is neither an order nor a payment, so that reads can never starve those.

The event loop is one: a crowd that reads gets a few requests of each of its turns. Redis' connections are two pools: reads have their own.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from flashsale_gateway import metrics
from flashsale_gateway.http.problems import Problem

PER_TURN = 8
"""Requests that begin in one turn of the event loop. Each is a fraction of a millisecond of work, and orders wait for three turns."""
IN_PROGRESS_MAX = 4096
"""Requests that wait for their turn or are being answered: a few KB each."""
WAITING_PER_READ = 16
"""Reads that may wait for each one that Redis is answering."""


def refuse(detail: str) -> Problem:
    """A Problem(overloaded), counted."""
    metrics.READS_REFUSED.inc()
    return Problem("overloaded", detail)


class TurnLimiter:
    """Lets requests through in the order they came, so many in a turn of the event loop."""

    def __init__(self, per_turn: int = PER_TURN, in_progress_max: int = IN_PROGRESS_MAX) -> None:
        self._per_turn = per_turn
        self._in_progress_max = in_progress_max
        self._in_progress = 0
        self._begun = 0
        """Requests that began in this turn."""
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and count as in progress until the block ends. Raises Problem(overloaded) when too many are."""
        if self._in_progress >= self._in_progress_max:
            raise refuse("Too many reads")
        self._in_progress += 1
        try:
            await self._wait()
            yield
        finally:
            self._in_progress -= 1

    async def _wait(self) -> None:
        if self._begun < self._per_turn:
            # Nobody waits: those who do use up a turn before it begins.
            self._begin()
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn

    def _begin(self) -> None:
        if self._begun == 0:
            asyncio.get_running_loop().call_soon(self._next_turn)
        self._begun += 1

    def _next_turn(self) -> None:
        self._begun = 0
        while self._waiting and self._begun < self._per_turn:
            turn = self._waiting.popleft()
            if not turn.done():
                self._begin()
                turn.set_result(None)


class ReadSlots:
    """A bound on how many reads Redis is asked for at once; a few more may wait for their slot, and not for long."""

    def __init__(self, reads_max: int, wait_seconds: float) -> None:
        self._free = asyncio.Semaphore(reads_max)
        self._reads_max = reads_max
        self._wait_seconds = wait_seconds
        self._asked = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Raises Problem(overloaded) when too many wait, or none gets free in time."""
        if self._asked >= self._reads_max * (1 + WAITING_PER_READ):
            raise refuse("Too many reads are waiting")
        self._asked += 1
        try:
            await self._acquire()
            try:
                yield
            finally:
                self._free.release()
        finally:
            self._asked -= 1

    async def _acquire(self) -> None:
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise refuse("Reads are waiting for the store") from None
