"""Work that may outlast its caller: it continues in the background, and is ended before the event loop ends."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from flashsale_core.tasks import cancel_and_wait

_in_background: "set[asyncio.Task[Any]]" = set()
"""Tasks that nobody waits for any more. The event loop itself keeps only weak references to its tasks."""


async def wait_briefly(ending: Coroutine[Any, Any, Any], timeout_seconds: float) -> None:
    """Wait until `ending` is done; past `timeout_seconds` it continues in the background. What it raises is dropped.

    For work that must not hold up its caller and may ignore a cancellation, such as closing a connection to a frozen server.
    """
    task = asyncio.create_task(ending)
    _in_background.add(task)
    task.add_done_callback(_drop)
    await asyncio.wait([task], timeout=timeout_seconds)


async def end_background() -> None:
    """End what `wait_briefly` left running, within the limits of `cancel_and_wait`. Call it before the event loop ends.

    A loop that ends cancels its tasks only once and waits for them without a limit: a task that ignores this would hold up the process.
    """
    await cancel_and_wait(*_in_background)


def _drop(task: "asyncio.Task[Any]") -> None:
    _in_background.discard(task)
    if not task.cancelled():
        # Without this, asyncio logs that the exception was never retrieved.
        task.exception()
