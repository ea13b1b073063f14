"""Ending background tasks for certain."""

import asyncio
from typing import Any

AGAIN_SECONDS = 0.1
TRIES = 100


async def end(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel `tasks` and wait until they are done, for at most TRIES * AGAIN_SECONDS; what they raised is dropped.

    One cancellation can get lost: before Python 3.12 `asyncio.wait_for` returns the result instead of raising when it is cancelled
    in the moment its future is done (python/cpython#86296), and redis-py sends every command under it. So it is repeated.
    """
    pending = {task for task in tasks if not task.done()}
    for _ in range(TRIES):
        if not pending:
            break
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_SECONDS)
    await asyncio.gather(*(task for task in tasks if task.done()), return_exceptions=True)
