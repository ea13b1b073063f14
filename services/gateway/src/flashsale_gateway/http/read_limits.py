"""Limits on every request that is neither an order nor a payment, so that reads cannot starve orders and payments.

They share one event loop, so each of its turns begins only a few reads. They do not share Redis connections: reads have their own pool.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from flashsale_gateway import metrics
from flashsale_gateway.http.problems import Problem

PER_TURN = 8
"""Requests that begin in one turn of the event loop. Each takes a fraction of a millisecond, and an order waits for three turns."""
IN_PROGRESS_MAX = 4096
"""Requests that wait for their turn or are being answered, a few KB each."""
WAITING_PER_READ = 16
"""Reads that may wait, for each one that Redis is answering."""


def read_refused(detail: str) -> Problem:
    """A counted Problem(overloaded), to be raised."""
    metrics.READS_REFUSED.inc()
    return Problem("overloaded", detail)


class TurnLimiter:
    """Lets requests begin in the order they came, at most `per_turn` in one turn of the event loop."""

    def __init__(self, per_turn: int = PER_TURN, in_progress_max: int = IN_PROGRESS_MAX) -> None:
        self._per_turn = per_turn
        self._in_progress_max = in_progress_max
        self._in_progress = 0
        self._begun = 0
        """Requests that began in this turn."""
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and count as in progress until the block ends. Raises Problem(overloaded) when too many are in progress."""
        if self._in_progress >= self._in_progress_max:
            raise read_refused("Too many requests are in progress")
        self._in_progress += 1
        try:
            await self._wait()
            yield
        finally:
            self._in_progress -= 1

    async def _wait(self) -> None:
        if self._begun < self._per_turn:
            # Nobody waits: requests that waited would have used up this turn already.
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
    """At most `reads_max` reads of Redis at once; some more wait for a slot, for at most `wait_seconds`."""

    def __init__(self, reads_max: int, wait_seconds: float) -> None:
        self._free = asyncio.Semaphore(reads_max)
        self._reads_max = reads_max
        self._wait_seconds = wait_seconds
        self._holding_or_waiting = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold a slot until the block ends. Raises Problem(overloaded) when too many wait, or no slot is free in time."""
        if self._holding_or_waiting >= self._reads_max * (1 + WAITING_PER_READ):
            raise read_refused("Too many reads are waiting")
        self._holding_or_waiting += 1
        try:
            await self._acquire()
            try:
                yield
            finally:
                self._free.release()
        finally:
            self._holding_or_waiting -= 1

    async def _acquire(self) -> None:
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise read_refused("Redis answers reads too slowly") from None
