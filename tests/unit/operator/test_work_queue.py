"""The order in which resources are reconciled."""

import asyncio

from flashsale_operator.work_queue import Lane, WorkQueue


async def drain(queue: WorkQueue) -> list[tuple[str, Lane]]:
    taken = []
    while len(queue):
        taken.append(await queue.take())
        queue.done(taken[-1][0])
    return taken


async def test_edits_come_before_swept_resources_and_new_ones_last() -> None:
    queue = WorkQueue()
    for key in ("a", "b", "c"):
        queue.add(key, Lane.NEW)
    for key in ("c", "d", "e"):
        queue.add(key, Lane.SWEPT)
    queue.add("f", Lane.EDITED)
    queue.add("e", Lane.EDITED)
    queue.add("e", Lane.NEW)
    assert [key for key, _ in await drain(queue)] == ["f", "e", "c", "d", "a", "b"]


async def test_new_resources_leave_the_sweep_its_places() -> None:
    queue = WorkQueue()
    for number in range(3):
        queue.add(f"n{number}", Lane.NEW)
        queue.add(f"e{number}", Lane.EDITED)
    assert queue.swept() == 0
    queue.add("s", Lane.SWEPT)
    assert queue.swept() == 1


async def test_resource_is_queued_once() -> None:
    queue = WorkQueue()
    for _ in range(3):
        queue.add("a", Lane.SWEPT)
    assert (len(queue), await drain(queue)) == (1, [("a", Lane.SWEPT)])


async def test_edit_while_a_resource_is_worked_on_is_not_lost() -> None:
    queue = WorkQueue()
    queue.add("a", Lane.SWEPT)
    await queue.take()
    queue.add("a", Lane.EDITED)
    queue.add("a", Lane.SWEPT)
    assert len(queue) == 0
    queue.done("a")
    assert await drain(queue) == [("a", Lane.EDITED)]


async def test_empty_queue_waits_for_the_next_key() -> None:
    queue = WorkQueue()
    taking = [asyncio.create_task(queue.take()) for _ in range(2)]
    queue.add_later("a", 0.01)
    queue.add_later("b", 0.02, Lane.NEW)
    async with asyncio.timeout(5):
        assert {await task for task in taking} == {("a", Lane.SWEPT), ("b", Lane.NEW)}
