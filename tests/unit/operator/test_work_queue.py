"""The order in which resources are reconciled."""

import asyncio

from flashsale_operator.work_queue import WorkQueue


async def drain(queue: WorkQueue) -> list[tuple[str, bool]]:
    taken = []
    while len(queue):
        taken.append(await queue.take())
        queue.done(taken[-1][0])
    return taken


async def test_edited_resources_come_before_swept_ones() -> None:
    queue = WorkQueue()
    for key in ("a", "b", "c"):
        queue.add(key, edited=False)
    queue.add("d", edited=True)
    queue.add("c", edited=True)
    assert await drain(queue) == [("d", True), ("c", True), ("a", False), ("b", False)]


async def test_resource_is_queued_once() -> None:
    queue = WorkQueue()
    for _ in range(3):
        queue.add("a", edited=False)
    assert (len(queue), await drain(queue)) == (1, [("a", False)])


async def test_edit_while_a_resource_is_worked_on_is_not_lost() -> None:
    queue = WorkQueue()
    queue.add("a", edited=False)
    await queue.take()
    queue.add("a", edited=True)
    queue.add("a", edited=False)
    assert len(queue) == 0
    queue.done("a")
    assert await drain(queue) == [("a", True)]


async def test_empty_queue_waits_for_the_next_key() -> None:
    queue = WorkQueue()
    taking = [asyncio.create_task(queue.take()) for _ in range(2)]
    queue.add_later("a", 0.01)
    queue.add_later("b", 0.02)
    async with asyncio.timeout(5):
        assert {await task for task in taking} == {("a", False), ("b", False)}
