"""Coalescing: items for one sale that arrive while a call for it is under way form the next batch.

No timer: an idle lane calls as soon as the event loop has read what is already there, a busy one as soon as its call is back. Under load a
second call overlaps the first, so that Redis decides one batch while we read and answer the next. Admission counts all that wait, over all
lanes and kinds of call.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

from flashsale_gateway.problems import Problem

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Received = TypeVar("Received", contravariant=True)


class Waiter(Protocol[Received]):
    """Whom an answer is for: an asyncio.Future, or less. Neither method may raise: others wait in the same batch."""

    def done(self) -> bool: ...

    def set_result(self, result: Received, /) -> None: ...

    def set_exception(self, error: BaseException, /) -> None: ...


class Admission:
    """A bound on how many requests wait for Redis at once."""

    def __init__(self, waiting_max: int) -> None:
        self.waiting = 0
        self._waiting_max = waiting_max

    def enter(self) -> None:
        """Raises Problem(overloaded) at the bound."""
        if self.waiting >= self._waiting_max:
            raise Problem("overloaded")
        self.waiting += 1

    def leave(self, count: int) -> None:
        self.waiting -= count


OVERLAP_ITEMS = 24
"""So many must wait before a second call overlaps the first: below, one larger batch is cheaper than two small ones."""
CALLS_MAX = 2


class _Lane(Generic[Item, Answer]):
    __slots__ = ("calls", "items", "waiters")

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.waiters: list[Waiter[Answer]] = []
        self.calls = 0

    @property
    def wants_call(self) -> bool:
        return self.calls == 0 or (self.calls < CALLS_MAX and len(self.items) >= OVERLAP_ITEMS)


class Batcher(Generic[Item, Answer]):
    """Gathers items per sale and hands them to `call(sale_id, items)`, at most `batch_max` at once and CALLS_MAX calls per sale at a time.

    `call` answers in the order of the items; what it raises is raised to every one of them.
    """

    def __init__(self, call: Callable[[str, Sequence[Item]], Awaitable[Sequence[Answer]]], batch_max: int, admission: Admission) -> None:
        self._call = call
        self._batch_max = batch_max
        self._admission = admission
        self._lanes: dict[str, _Lane[Item, Answer]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, sale_id: str, item: Item) -> asyncio.Future[Answer]:
        """Raises Problem(overloaded) when too many wait already."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.join(sale_id, item, future)
        return future

    def join(self, sale_id: str, item: Item, waiter: Waiter[Answer]) -> None:
        """The answer goes to `waiter`, never before this returns. Raises Problem(overloaded) when too many wait already."""
        self._admission.enter()
        lane = self._lanes.get(sale_id)
        if lane is None:
            lane = self._lanes[sale_id] = _Lane()
        lane.items.append(item)
        lane.waiters.append(waiter)
        if lane.wants_call:
            lane.calls += 1
            # Not at once: requests that the loop has already read from their sockets join this batch.
            asyncio.get_running_loop().call_soon(self._start, sale_id, lane)

    def _start(self, sale_id: str, lane: _Lane[Item, Answer]) -> None:
        task = asyncio.get_running_loop().create_task(self._drain(sale_id, lane))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain(self, sale_id: str, lane: _Lane[Item, Answer]) -> None:
        """Batch after batch while there is work for this call of the lane."""
        while lane.items:
            items, lane.items = lane.items[: self._batch_max], lane.items[self._batch_max :]
            waiters, lane.waiters = lane.waiters[: self._batch_max], lane.waiters[self._batch_max :]
            try:
                _deliver(waiters, await self._call(sale_id, items))
            except Exception as error:
                _fail(waiters, error)
            finally:
                self._admission.leave(len(items))
            if lane.calls > 1 and len(lane.items) < OVERLAP_ITEMS:
                # The other call takes what is left.
                break
        # Nothing can have been added since the last check: there is no await between.
        lane.calls -= 1
        if lane.calls == 0:
            del self._lanes[sale_id]

    async def finish(self) -> None:
        """Wait until all that was submitted is answered."""
        while self._tasks:
            await asyncio.wait(self._tasks)


def _deliver(waiters: Sequence[Waiter[Answer]], answers: Sequence[Answer]) -> None:
    for waiter, answer in zip(waiters, answers, strict=True):
        if not waiter.done():
            waiter.set_result(answer)


def _fail(waiters: Sequence[Waiter[Answer]], error: Exception) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_exception(error)
