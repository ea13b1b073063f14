"""Coalescing: items that arrive during a call form the next batch, whatever sales they are for.

There is no timer: an idle lane calls as soon as the event loop has read what has arrived, a busy lane as soon as its call has returned.
Under load a second call overlaps the first, so that Redis decides one batch while the gateway reads and answers the next. Admission
counts the waiting items of all lanes.

An answer that waits for a confirm does not hold up the others of its batch, nor the next batch.

Neither a waiter that fails nor a call that fails harms others: every waiter of a batch is answered, and the lane continues.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from time import monotonic
from typing import Any, Generic, TypeVar

from flashsale_core.tasks import cancel_and_wait, cancelled_here
from flashsale_gateway.errors import OutcomeUnknown, Overloaded
from flashsale_gateway.lanes import OVERLAP_ITEMS, Lane, Queue, Waiter
from flashsale_gateway.provisional import Confirm, Held, Provisional, hold_back

log = logging.getLogger(__name__)
Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Admission:
    """A limit on how many requests wait for Redis, or for a confirm, at once."""

    def __init__(self, waiting_max: int) -> None:
        self.waiting = 0
        self._waiting_max = waiting_max

    def enter(self) -> None:
        """Raises Overloaded at the limit."""
        if self.waiting >= self._waiting_max:
            raise Overloaded
        self.waiting += 1

    def leave(self, count: int) -> None:
        self.waiting -= count


Batch = Sequence[tuple[str, Sequence[Item]]]
"""Items by sale; each sale appears once."""
Answers = Sequence[Answer | Exception]
"""One for each item of a batch, in its order: its answer, or the error that took its place."""
Call = Callable[[Batch[Item]], Awaitable[Answers[Answer | Provisional[Answer]]]]


class Batcher(Generic[Item, Answer]):
    """Gathers items and passes them to `call` by sale: at most `batch_max` items in a call, and a few calls at once in each lane."""

    def __init__(self, call: Call[Item, Answer], batch_max: int, admission: Admission, lane_of: Callable[[str], int]) -> None:
        """Sales may share a call if `lane_of` returns the same number for them."""
        self._call = call
        self._batch_max = batch_max
        self._admission = admission
        self._lane_of = lane_of
        self._lanes: dict[int, Lane[Item, Answer]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._confirms: set[Confirm] = set()

    def submit(self, sale_id: str, item: Item) -> asyncio.Future[Answer]:
        """Enqueue an item and return its future answer. Raises Overloaded when too many items are waiting."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.enqueue(sale_id, item, future)
        return future

    def enqueue(self, sale_id: str, item: Item, waiter: Waiter[Answer]) -> None:
        """Enqueue an item; `waiter` gets its answer, never before this returns. Raises Overloaded when too many items are waiting."""
        self._admission.enter()
        number = self._lane_of(sale_id)
        lane = self._lanes.get(number)
        if lane is None:
            lane = self._lanes[number] = Lane()
        if not lane.waiting:
            lane.progress_at = monotonic()
        lane.add(sale_id, item, waiter)
        if lane.wants_call:
            lane.calls += 1
            # Not at once: so requests that the loop has already read from their sockets are part of this batch.
            asyncio.get_running_loop().call_soon(self._start, lane)

    def age_seconds(self) -> float:
        """How long the slowest lane has made no progress. If that is longer than its call's own timeouts allow, the lane is stuck."""
        now = monotonic()
        return max((lane.age_seconds(now) for lane in self._lanes.values()), default=0.0)

    def _start(self, lane: Lane[Item, Answer]) -> None:
        task = asyncio.get_running_loop().create_task(self._drain(lane))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain(self, lane: Lane[Item, Answer]) -> None:
        """Take and decide batches while there is work for this call of the lane."""
        task = asyncio.current_task()
        try:
            while lane.waiting:
                lane.progress_at = lane.called_at[task] = monotonic()
                await self._decide(lane.take(self._batch_max))
                if lane.calls > 1 and lane.waiting < OVERLAP_ITEMS:
                    # The lane's other call takes the rest.
                    break
        finally:
            # No item can have arrived since the last check: there is no await in between.
            lane.calls -= 1
            lane.called_at.pop(task, None)

    async def _decide(self, sales: Mapping[str, Queue[Item, Answer]]) -> None:
        """Call, and answer every waiter however the call ends. Raises CancelledError only when this task itself is cancelled."""
        waiters = list(chain.from_iterable([queue.waiters for queue in sales.values()]))
        try:
            answers = await self._call([(sale_id, queue.items) for sale_id, queue in sales.items()])
            waiters, ready, held = hold_back(waiters, answers)
            self._wait(held)
            _deliver(waiters, ready)
        except asyncio.CancelledError:
            # A client library may end a call like this; what the server did is unknown then.
            fail_waiters(waiters, OutcomeUnknown())
            if cancelled_here():
                raise
        except Exception as error:
            fail_waiters(waiters, error)
        finally:
            self._admission.leave(len(waiters))

    def _wait(self, held: Held[Waiter[Answer], Answer]) -> None:
        for confirm, pairs in held.items():
            self._confirms.add(confirm)
            confirm.add_done_callback(partial(self._deliver_held, pairs))

    def _deliver_held(self, pairs: Sequence[tuple[Waiter[Answer], Provisional[Answer]]], confirm: Confirm) -> None:
        self._confirms.discard(confirm)
        self._admission.leave(len(pairs))
        _deliver([waiter for waiter, _ in pairs], [provisional.final() for _, provisional in pairs])

    async def finish(self, timeout_seconds: float) -> bool:
        """Wait until every enqueued item is answered; returns whether that took no longer than `timeout_seconds`.

        Afterwards no further batch is taken, and what a call still decides is answered as unknown.
        """
        deadline = monotonic() + timeout_seconds
        while (unanswered := self._unanswered) and (left_seconds := deadline - monotonic()) > 0:
            await asyncio.wait(unanswered, timeout=left_seconds)
        await cancel_and_wait(*self._tasks)
        return not unanswered

    @property
    def _unanswered(self) -> list[asyncio.Future[Any]]:
        return [*self._tasks, *self._confirms]


def _deliver(waiters: Sequence[Waiter[Answer]], answers: Answers[Answer]) -> None:
    """Raises ValueError if the number of answers is not that of the waiters."""
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


def fail_waiters(waiters: Sequence[Waiter[Answer]], error: Exception) -> None:
    """Give them the error instead of an answer. What they raise themselves is logged."""
    _deliver(waiters, [error] * len(waiters))
