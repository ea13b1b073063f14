import asyncio
from collections.abc import Sequence

import pytest

from flashsale_gateway.batching import OVERLAP_ITEMS, Admission, Batcher
from flashsale_gateway.problems import Problem


class Calls:
    """A call that answers each item with its double when `gate` opens, and remembers the batches it got."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.gate = asyncio.Event()

    async def __call__(self, sale_id: str, items: Sequence[int]) -> list[int]:
        self.batches.append((sale_id, list(items)))
        await self.gate.wait()
        if -1 in items:
            raise ValueError("bad batch")
        return [2 * item for item in items]


def test_items_read_in_one_turn_share_a_call_and_those_that_come_meanwhile_the_next() -> None:
    async def run() -> None:
        calls = Calls()
        batcher = Batcher(calls, 256, Admission(100))
        first = [batcher.submit("a", item) for item in (1, 2)]
        await asyncio.sleep(0.01)
        second = [batcher.submit("a", item) for item in (3, 4, 5)]
        calls.gate.set()
        assert await asyncio.gather(*first, *second) == [2, 4, 6, 8, 10]
        assert calls.batches == [("a", [1, 2]), ("a", [3, 4, 5])]

    asyncio.run(run())


def test_batches_are_bounded_and_sales_do_not_wait_for_each_other() -> None:
    async def run() -> None:
        calls = Calls()
        batcher = Batcher(calls, 2, Admission(100))
        futures = [batcher.submit("a", item) for item in (1, 2, 3)] + [batcher.submit("b", 9)]
        await asyncio.sleep(0.01)
        assert calls.batches == [("a", [1, 2]), ("b", [9])]
        calls.gate.set()
        assert await asyncio.gather(*futures) == [2, 4, 6, 18]
        assert calls.batches[2:] == [("a", [3])]

    asyncio.run(run())


def test_failure_reaches_every_item_of_the_batch_and_no_other() -> None:
    async def run() -> None:
        calls = Calls()
        calls.gate.set()
        batcher = Batcher(calls, 2, Admission(100))
        answers = await asyncio.gather(*[batcher.submit("a", item) for item in (-1, 1, 2)], return_exceptions=True)
        assert [type(answer) for answer in answers] == [ValueError, ValueError, int]

    asyncio.run(run())


def test_admission_refuses_past_its_bound_and_recovers() -> None:
    async def run() -> None:
        calls = Calls()
        admission = Admission(2)
        batcher = Batcher(calls, 256, admission)
        futures = [batcher.submit("a", 1), batcher.submit("a", 2)]
        with pytest.raises(Problem, match="overloaded"):
            batcher.submit("a", 3)
        calls.gate.set()
        assert await asyncio.gather(*futures) == [2, 4]
        assert (admission.waiting, await batcher.submit("a", 3)) == (0, 6)

    asyncio.run(run())


def test_buyer_that_went_away_does_not_disturb_the_others() -> None:
    async def run() -> None:
        calls = Calls()
        admission = Admission(10)
        batcher = Batcher(calls, 256, admission)
        gone, stays = batcher.submit("a", 1), batcher.submit("a", 2)
        await asyncio.sleep(0)
        gone.cancel()
        calls.gate.set()
        assert (await stays, admission.waiting) == (4, 0)

    asyncio.run(run())


def test_finish_waits_for_what_was_submitted() -> None:
    async def run() -> None:
        calls = Calls()
        batcher = Batcher(calls, 1, Admission(10))
        futures = [batcher.submit("a", item) for item in (1, 2, 3)]
        await asyncio.sleep(0)
        calls.gate.set()
        await batcher.finish()
        assert all(future.done() for future in futures)

    asyncio.run(run())


def test_second_call_overlaps_the_first_only_under_load() -> None:
    async def run() -> None:
        calls = Calls()
        batcher = Batcher(calls, 256, Admission(1000))
        futures = [batcher.submit("a", 0)]
        await asyncio.sleep(0.01)
        futures += [batcher.submit("a", item) for item in range(OVERLAP_ITEMS - 1)]
        await asyncio.sleep(0.01)
        assert [len(items) for _, items in calls.batches] == [1]
        futures += [batcher.submit("a", item) for item in range(500)]
        await asyncio.sleep(0.01)
        assert [len(items) for _, items in calls.batches] == [1, 256]
        calls.gate.set()
        await asyncio.gather(*futures)
        assert sum(len(items) for _, items in calls.batches) == len(futures)
        assert await batcher.submit("a", 4) == 8

    asyncio.run(run())
