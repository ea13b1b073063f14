"""Batching: what shares a call, what waits for the next, and whom a failure reaches."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale_gateway.batching import Admission, Answers, Batch, Batcher
from flashsale_gateway.errors import NotReady, OutcomeUnknown, Overloaded, Unconfirmed
from flashsale_gateway.lanes import OVERLAP_ITEMS, Lane
from flashsale_gateway.provisional import Confirm, Provisional
from flashsale_gateway.readiness import Progress


class Calls:
    """A call that answers each item with its double once `gate` is open, and keeps the batches that it was given."""

    def __init__(self) -> None:
        self.batches: list[dict[str, list[int]]] = []
        self.gate = asyncio.Event()
        self._opening: asyncio.Task[bool] | None = None

    def cancel(self) -> None:
        """End the running call as some client libraries do: what it waits for is cancelled, not its own task."""
        assert self._opening is not None
        self._opening.cancel()

    async def cancelled_or_open(self) -> None:
        self._opening = asyncio.create_task(self.gate.wait())
        await self._opening

    async def __call__(self, sales: Batch[int]) -> Answers[int | Provisional[int]]:
        self.batches.append({sale_id: list(items) for sale_id, items in sales})
        await self.cancelled_or_open()
        if any(-1 in items for _, items in sales):
            raise ValueError("bad batch")
        return [KeyError("bad sale") if -2 in items else 2 * item for _, items in sales for item in items]

    @property
    def sizes(self) -> list[int]:
        return [sum(map(len, batch.values())) for batch in self.batches]


def batcher_of(calls: Calls, batch_max: int = 256, admission: Admission | None = None) -> Batcher[int, int]:
    """Sales whose names begin alike share a lane."""
    return Batcher(calls, batch_max, admission or Admission(100_000), lambda sale_id: ord(sale_id[0]))


async def test_items_that_arrive_during_a_call_share_the_next_call() -> None:
    calls = Calls()
    batcher = batcher_of(calls, 256)
    first = [batcher.submit("a", item) for item in (1, 2)]
    await asyncio.sleep(0.01)
    second = [batcher.submit("a", item) for item in (3, 4, 5)]
    calls.gate.set()
    assert await asyncio.gather(*first, *second) == [2, 4, 6, 8, 10]
    assert calls.batches == [{"a": [1, 2]}, {"a": [3, 4, 5]}]


async def test_batches_are_limited_and_lanes_do_not_wait_for_each_other() -> None:
    calls = Calls()
    batcher = batcher_of(calls, 2)
    futures = [batcher.submit("a", item) for item in (1, 2, 3)] + [batcher.submit("b", 9)]
    await asyncio.sleep(0.01)
    assert calls.batches == [{"a": [1, 2]}, {"b": [9]}]
    calls.gate.set()
    assert await asyncio.gather(*futures) == [2, 4, 6, 18]
    assert calls.batches[2:] == [{"a": [3]}]


async def test_failure_reaches_every_item_of_the_batch_and_no_other() -> None:
    calls = Calls()
    calls.gate.set()
    batcher = batcher_of(calls, 2)
    answers = await asyncio.gather(*[batcher.submit("a", item) for item in (-1, 1, 2)], return_exceptions=True)
    assert [type(answer) for answer in answers] == [ValueError, ValueError, int]


async def test_admission_refuses_at_its_limit_and_recovers() -> None:
    calls = Calls()
    admission = Admission(2)
    batcher = batcher_of(calls, 256, admission)
    futures = [batcher.submit("a", 1), batcher.submit("a", 2)]
    with pytest.raises(Overloaded):
        batcher.submit("a", 3)
    calls.gate.set()
    assert await asyncio.gather(*futures) == [2, 4]
    assert (admission.waiting, await batcher.submit("a", 3)) == (0, 6)


async def test_buyer_who_disconnects_does_not_disturb_the_others() -> None:
    calls = Calls()
    admission = Admission(10)
    batcher = batcher_of(calls, 256, admission)
    gone, stays = batcher.submit("a", 1), batcher.submit("a", 2)
    await asyncio.sleep(0)
    gone.cancel()
    calls.gate.set()
    assert (await stays, admission.waiting) == (4, 0)


class Confirming(Calls):
    """Answers even items at once, and odd ones once `confirm` is done."""

    def __init__(self) -> None:
        super().__init__()
        self.gate.set()
        self.confirm: Confirm = asyncio.get_running_loop().create_future()

    async def __call__(self, sales: Batch[int]) -> Answers[int | Provisional[int]]:
        answers = await super().__call__(sales)
        return [Provisional(answer, self.confirm, Unconfirmed()) if answer in {2, 6} else answer for answer in answers]


@pytest.mark.parametrize("confirmed", [True, False])
async def test_answer_that_waits_for_a_confirm_holds_up_no_other(confirmed: bool) -> None:
    calls, admission = Confirming(), Admission(3)
    batcher = batcher_of(calls, 2, admission)
    odd = [batcher.submit("a", item) for item in (1, 3)]
    assert await batcher.submit("a", 2) == 4
    assert ([future.done() for future in odd], admission.waiting, batcher.age_seconds()) == ([False] * 2, 2, 0)
    finishing = asyncio.create_task(batcher.finish(5))
    await asyncio.sleep(0.01)
    assert not finishing.done()
    calls.confirm.set_result(confirmed)
    answers = await asyncio.gather(*odd, return_exceptions=True)
    assert answers == [2, 6] if confirmed else [type(answer) for answer in answers] == [Unconfirmed] * 2
    await finishing
    assert admission.waiting == 0


async def test_buyer_who_disconnects_before_the_confirm_disturbs_nobody() -> None:
    calls, admission = Confirming(), Admission(3)
    batcher = batcher_of(calls, 2, admission)
    gone, stays = batcher.submit("a", 1), batcher.submit("a", 3)
    await asyncio.sleep(0.01)
    gone.cancel()
    calls.confirm.set_result(True)
    assert (await stays, admission.waiting) == (6, 0)


class Broken:
    """A waiter that fails as it is answered."""

    def done(self) -> bool:
        return False

    def set_result(self, result: int) -> None:
        raise RuntimeError("its connection is gone")

    def set_exception(self, error: BaseException) -> None:
        raise RuntimeError("its connection is gone")


@pytest.mark.parametrize("bad", [1, -1], ids=["answered", "failed"])
async def test_failing_waiter_harms_neither_others_nor_its_lane(bad: int, caplog: pytest.LogCaptureFixture) -> None:
    calls = Calls()
    calls.gate.set()
    admission = Admission(10)
    batcher = batcher_of(calls, 2, admission)
    for _ in range(3):
        batcher.enqueue("a", bad, Broken())
        good = batcher.submit("a", 2)
        (answer,) = await asyncio.gather(good, return_exceptions=True)
        assert answer == 4 if bad == 1 else isinstance(answer, ValueError)
    assert (await batcher.submit("a", 3), admission.waiting, batcher.age_seconds()) == (6, 0, 0)
    assert [record.message for record in caplog.records] == ["waiter.failed"] * 3


async def test_cancelled_call_has_an_unknown_outcome_and_the_lane_goes_on() -> None:
    calls, admission = Calls(), Admission(10)
    batcher = Batcher(calls, 1, admission, lambda _: 0)
    first, second = batcher.submit("a", 1), batcher.submit("a", 2)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    calls.cancel()
    (outcome,) = await asyncio.gather(first, return_exceptions=True)
    assert isinstance(outcome, OutcomeUnknown)
    calls.gate.set()
    assert (await second, admission.waiting) == (4, 0)


async def test_stuck_lane_fails_the_progress_check() -> None:
    calls = Calls()
    batcher = batcher_of(calls, 1)
    progress = Progress([lambda: 0, batcher.age_seconds], redis_timeout_seconds=0.01)
    progress.check()
    futures = [batcher.submit("a", item) for item in (1, 2)]
    await asyncio.sleep(0.05)
    with pytest.raises(NotReady):
        progress.check()
    calls.gate.set()
    assert await asyncio.gather(*futures) == [2, 4]
    progress.check()


async def test_finish_waits_for_every_submitted_item() -> None:
    calls = Calls()
    batcher = batcher_of(calls, 1)
    futures = [batcher.submit("a", item) for item in (1, 2, 3)]
    await asyncio.sleep(0)
    calls.gate.set()
    assert await batcher.finish(5)
    assert all(future.done() for future in futures)


async def test_finish_ends_calls_that_take_too_long_and_takes_no_further_batch() -> None:
    calls = Calls()
    batcher = batcher_of(calls, 1)
    called, waiting = [batcher.submit("a", item) for item in (1, 2)]
    await asyncio.sleep(0)
    assert not await batcher.finish(0.01)
    with pytest.raises(OutcomeUnknown):
        await called
    calls.gate.set()
    await asyncio.sleep(0.01)
    assert (calls.sizes, waiting.done()) == ([1], False)


async def test_second_call_overlaps_the_first_only_under_load() -> None:
    calls = Calls()
    batcher = batcher_of(calls, 256)
    futures = [batcher.submit("a", 0)]
    await asyncio.sleep(0.01)
    futures += [batcher.submit("a", item) for item in range(OVERLAP_ITEMS - 1)]
    await asyncio.sleep(0.01)
    assert calls.sizes == [1]
    futures += [batcher.submit("a", item) for item in range(500)]
    await asyncio.sleep(0.01)
    assert calls.sizes == [1, 256]
    calls.gate.set()
    await asyncio.gather(*futures)
    assert sum(calls.sizes) == len(futures)
    assert await batcher.submit("a", 4) == 8


async def test_sales_of_one_lane_share_a_call_and_a_broken_sale_fails_alone() -> None:
    calls = Calls()
    calls.gate.set()
    batcher = batcher_of(calls)
    futures = [batcher.submit(sale_id, item) for sale_id, item in (("a1", 1), ("a2", -2), ("a1", 2), ("a3", 3), ("a2", 4))]
    answers = await asyncio.gather(*futures, return_exceptions=True)
    assert calls.batches == [{"a1": [1, 2], "a2": [-2, 4], "a3": [3]}]
    assert [answer if isinstance(answer, int) else type(answer) for answer in answers] == [2, KeyError, 4, 6, KeyError]


def test_stampede_for_one_sale_leaves_the_others_their_share() -> None:
    lane = lane_of({"hot": 1000, "warm": 100, "cold": 1})
    assert taken(lane, 256) == {"cold": 1, "warm": 100, "hot": 155}
    assert (taken(lane, 256), lane.waiting) == ({"hot": 256}, 589)


def test_more_sales_than_fit_in_a_batch_take_turns() -> None:
    lane = lane_of({"a": 3, "b": 1, "c": 1, "d": 2})
    assert [taken(lane, 2) for _ in range(4)] == [{"a": 1, "b": 1}, {"c": 1, "d": 1}, {"a": 1, "d": 1}, {"a": 1}]
    assert taken(lane, 2) == {}


@given(st.dictionaries(st.text("abc", min_size=1), st.integers(1, 40), max_size=12), st.integers(1, 50))
def test_lane_returns_every_item_once_in_the_order_of_its_sale(waiting: dict[str, int], most: int) -> None:
    lane = lane_of(waiting)
    got: dict[str, list[int]] = {}
    for _ in range(sum(waiting.values())):
        before, batch = lane.waiting, lane.take(most)
        count = sum(len(queue.items) for queue in batch.values())
        # Full unless that is all: fairness wastes nothing.
        assert (count, lane.waiting) == (min(before, most), before - count)
        for sale_id, queue in batch.items():
            assert len(queue.waiters) == len(queue.items)
            got.setdefault(sale_id, []).extend(queue.items)
    assert got == {sale_id: list(range(count)) for sale_id, count in waiting.items()}


class Nobody:
    def done(self) -> bool:
        return True

    def set_result(self, result: int) -> None: ...

    def set_exception(self, error: BaseException) -> None: ...


def lane_of(waiting: dict[str, int]) -> Lane[int, int]:
    lane: Lane[int, int] = Lane()
    for sale_id, count in waiting.items():
        for item in range(count):
            lane.add(sale_id, item, Nobody())
    return lane


def taken(lane: Lane[int, int], most: int) -> dict[str, int]:
    return {sale_id: len(queue.items) for sale_id, queue in lane.take(most).items()}
