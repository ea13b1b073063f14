"""Coalescing: items that arrive while a call is under way form the next batch, whatever sales they are for.

No timer: an idle lane calls as soon as the event loop has read what is already there, a busy one as soon as its call is back. Under load a
second call overlaps the first, so that Redis decides one batch while we read and answer the next. Admission counts all that wait, over all
lanes.

A waiter's fault, and a call that ends in whatever way, reach nobody else: every waiter of a batch is answered, and the lane goes on.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import chain, islice
from time import monotonic
from typing import Generic, Protocol, TypeVar

from flashsale_core.tasks import cancelled_here
from flashsale_gateway.errors import OutcomeUnknown, Overloaded

log = logging.getLogger(__name__)
Item = TypeVar("Item")
Answer = TypeVar("Answer")
Received = TypeVar("Received", contravariant=True)


class Waiter(Protocol[Received]):
    """Whom an answer is for: an asyncio.Future, or less. What its methods raise is logged; the others of the batch get their answers."""

    def done(self) -> bool: ...

    def set_result(self, result: Received, /) -> None: ...

    def set_exception(self, error: BaseException, /) -> None: ...


class Admission:
    """A bound on how many requests wait for Redis at once."""

    def __init__(self, waiting_max: int) -> None:
        self.waiting = 0
        self._waiting_max = waiting_max

    def enter(self) -> None:
        """Raises Overloaded at the bound."""
        if self.waiting >= self._waiting_max:
            raise Overloaded
        self.waiting += 1

    def leave(self, count: int) -> None:
        self.waiting -= count


OVERLAP_ITEMS = 24
"""So many must wait before a second call overlaps the first: below, one larger batch is cheaper than two small ones."""
CALLS_MAX = 2
Batch = Sequence[tuple[str, Sequence[Item]]]
"""Items by sale; each sale once."""
Answers = Sequence[Answer | Exception]
"""One for each item of a batch, in its order, whatever its sale; or why there is none."""
Call = Callable[[Batch[Item]], Awaitable[Answers[Answer]]]


class _Queue(Generic[Item, Answer]):
    """What waits of one sale."""

    __slots__ = ("items", "waiters")

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.waiters: list[Waiter[Answer]] = []

    def split(self, count: int) -> "_Queue[Item, Answer]":
        """The first `count`, which leave."""
        first: _Queue[Item, Answer] = _Queue()
        first.items, self.items = self.items[:count], self.items[count:]
        first.waiters, self.waiters = self.waiters[:count], self.waiters[count:]
        return first


class Lane(Generic[Item, Answer]):
    """What waits of the sales that may share a call; the sale whose turn is next stands first."""

    def __init__(self) -> None:
        self.calls = 0
        self.waiting = 0
        self.taken_at = 0.0
        """When a batch last left, or the first item came to an empty lane: the age of what waits counts from here."""
        self.called_at: dict[object, float] = {}
        """When each call under way began, by its task."""
        self._sales: dict[str, _Queue[Item, Answer]] = {}

    @property
    def wants_call(self) -> bool:
        return self.calls == 0 or (self.calls < CALLS_MAX and self.waiting >= OVERLAP_ITEMS)

    def add(self, sale_id: str, item: Item, waiter: Waiter[Answer]) -> None:
        queue = self._sales.get(sale_id)
        if queue is None:
            queue = self._sales[sale_id] = _Queue()
        queue.items.append(item)
        queue.waiters.append(waiter)
        self.waiting += 1

    def age_seconds(self, now: float) -> float:
        """How long the lane has been without progress: no batch left although items wait, or a call is under way."""
        since = [*self.called_at.values(), *([self.taken_at] if self.waiting else [])]
        return now - min(since) if since else 0.0

    def take(self, most: int) -> dict[str, _Queue[Item, Answer]]:
        """At most `most` items: all, or of each sale its fair share, so that a stampede for one does not keep the others waiting.

        Fair is max-min fair: a sale that wants less than an equal share gets what it wants, the others share what that leaves.
        """
        if self.waiting <= most:
            taken, self._sales, self.waiting = self._sales, {}, 0
            return taken
        names = list(islice(self._sales, most))
        taken, left = {}, most
        for place, name in enumerate(sorted(names, key=lambda name: len(self._sales[name].items))):
            share = left // (len(names) - place)
            queue = self._sales.pop(name)
            if len(queue.items) <= share:
                taken[name] = queue
            else:
                taken[name] = queue.split(share)
                # Behind those that got nothing this time.
                self._sales[name] = queue
            left -= len(taken[name].items)
        self.waiting -= most - left
        return taken


class Batcher(Generic[Item, Answer]):
    """Gathers items and hands them to `call` by sale: at most `batch_max` items at once, and CALLS_MAX calls per lane at a time."""

    def __init__(self, call: Call[Item, Answer], batch_max: int, admission: Admission, lane_of: Callable[[str], int]) -> None:
        """`lane_of` says which sales may share a call: those with the same number."""
        self._call = call
        self._batch_max = batch_max
        self._admission = admission
        self._lane_of = lane_of
        self._lanes: dict[int, Lane[Item, Answer]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, sale_id: str, item: Item) -> asyncio.Future[Answer]:
        """Raises Overloaded when too many wait already."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.enqueue(sale_id, item, future)
        return future

    def enqueue(self, sale_id: str, item: Item, waiter: Waiter[Answer]) -> None:
        """The answer goes to `waiter`, never before this returns. Raises Overloaded when too many wait already."""
        self._admission.enter()
        number = self._lane_of(sale_id)
        lane = self._lanes.get(number)
        if lane is None:
            lane = self._lanes[number] = Lane()
        if not lane.waiting:
            lane.taken_at = monotonic()
        lane.add(sale_id, item, waiter)
        if lane.wants_call:
            lane.calls += 1
            # Not at once: requests that the loop has already read from their sockets join this batch.
            asyncio.get_running_loop().call_soon(self._start, lane)

    def age_seconds(self) -> float:
        """How long the slowest lane has been without progress. Beyond what its call's own timeouts allow, the lane is stuck."""
        now = monotonic()
        return max((lane.age_seconds(now) for lane in self._lanes.values()), default=0.0)

    def _start(self, lane: Lane[Item, Answer]) -> None:
        task = asyncio.get_running_loop().create_task(self._drain(lane))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain(self, lane: Lane[Item, Answer]) -> None:
        """Batch after batch while there is work for this call of the lane."""
        task = asyncio.current_task()
        try:
            while lane.waiting:
                lane.taken_at = lane.called_at[task] = monotonic()
                await self._decide(lane.take(self._batch_max))
                if lane.calls > 1 and lane.waiting < OVERLAP_ITEMS:
                    # The other call takes what is left.
                    break
        finally:
            # No item can have come since the last check: there is no await between.
            lane.calls -= 1
            lane.called_at.pop(task, None)

    async def _decide(self, sales: Mapping[str, _Queue[Item, Answer]]) -> None:
        """Call, and answer every waiter whatever becomes of the call. Raises CancelledError only when this task itself is cancelled."""
        waiters = list(chain.from_iterable([queue.waiters for queue in sales.values()]))
        try:
            _deliver(waiters, await self._call([(sale_id, queue.items) for sale_id, queue in sales.items()]))
        except asyncio.CancelledError:
            # A client library may end a call so, and nobody knows then what the server did.
            _fail(waiters, OutcomeUnknown())
            if cancelled_here():
                raise
        except Exception as error:
            _fail(waiters, error)
        finally:
            self._admission.leave(len(waiters))

    async def finish(self) -> None:
        """Wait until all that was submitted is answered."""
        while self._tasks:
            await asyncio.wait(self._tasks)


def _deliver(waiters: Sequence[Waiter[Answer]], answers: Answers[Answer]) -> None:
    """Raises ValueError when there are not as many answers as waiters."""
    for waiter, answer in zip(waiters, answers, strict=True):
        try:
            if waiter.done():
                continue
            if isinstance(answer, Exception):
                waiter.set_exception(answer)
            else:
                waiter.set_result(answer)
        except Exception as error:
            log.error("waiter.failed", exc_info=error)


def _fail(waiters: Sequence[Waiter[Answer]], error: Exception) -> None:
    _deliver(waiters, [error] * len(waiters))
