"""What outlasts its caller holds up neither the caller nor the end of the process."""

import asyncio
from contextlib import suppress

from flashsale_core import background
from flashsale_core.background import end_background, wait_briefly
from flashsale_core.tasks import only_own_cancellation
from tests.waiting import until


async def test_slow_end_does_not_hold_up_its_caller() -> None:
    done = asyncio.Event()

    async def ignores_cancellation() -> None:
        while not done.is_set():
            with only_own_cancellation():
                await done.wait()
        raise ValueError("nobody asks for this")

    async with asyncio.timeout(10):
        await wait_briefly(ignores_cancellation(), 0.01)
    done.set()
    await until(lambda: not background._in_background)


async def test_background_task_that_ignores_a_cancellation_is_ended_before_the_loop() -> None:
    ignored = 0

    async def ignores_one_cancellation() -> None:
        nonlocal ignored
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        ignored += 1
        await asyncio.Event().wait()

    await wait_briefly(ignores_one_cancellation(), 0.01)
    async with asyncio.timeout(10):
        await end_background()
    assert (ignored, background._in_background) == (1, set())
