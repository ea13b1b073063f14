"""Background tasks end, even those that lose a cancellation."""

import asyncio

from flashsale_core import tasks


async def _for_ever(deaf_to: int) -> None:
    """Loses the first `deaf_to` cancellations, as asyncio.wait_for does in Python 3.11."""
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if not deaf_to:
                raise
            deaf_to -= 1


async def _broken() -> None:
    raise ValueError("nobody asks for this")


async def test_lost_cancellation_is_repeated() -> None:
    ended = [asyncio.create_task(_for_ever(deaf_to)) for deaf_to in (0, 1, 2)]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await tasks.cancel_and_wait(*ended)
    assert [task.cancelled() for task in ended] == [True, True, True]


async def test_task_that_ended_by_itself_raises_nothing() -> None:
    ended = asyncio.create_task(_broken())
    await asyncio.sleep(0)
    await tasks.cancel_and_wait(ended)
    await tasks.cancel_and_wait()
