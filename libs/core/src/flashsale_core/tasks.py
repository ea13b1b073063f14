"""Cancels background tasks reliably, and distinguishes their own cancellation from that of something they wait for."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

CANCEL_AGAIN_SECONDS = 0.1
CANCELS_MAX = 100
_in_background: "set[asyncio.Task[Any]]" = set()
"""Tasks that nobody waits for any more. The event loop itself keeps only weak references to its tasks."""


async def cancel_and_wait(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel `tasks` and wait until they are done, for at most CANCELS_MAX * CANCEL_AGAIN_SECONDS; what they raised is dropped.

    The cancellation is repeated, because one can get lost: before Python 3.12, `asyncio.wait_for` returns its result if it is cancelled
    in the moment when its future is done (python/cpython#86296). redis-py uses it for every command.
    """
    pending = {task for task in tasks if not task.done()}
    for _ in range(CANCELS_MAX):
        if not pending:
            break
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_SECONDS)
    await asyncio.gather(*(task for task in tasks if task.done()), return_exceptions=True)


def cancelled_here() -> bool:
    """Whether somebody cancelled the running task. If not, a CancelledError in it comes from something that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


@contextmanager
def only_own_cancellation() -> Iterator[None]:
    """Raise ConnectionAbortedError for a CancelledError of something else: aiormq cancels whatever waits for a connection it gives up."""
    try:
        yield
    except asyncio.CancelledError as error:
        if cancelled_here():
            raise
        raise ConnectionAbortedError("the connection was lost") from error


@asynccontextmanager
async def within(timeout_seconds: float, what: str) -> AsyncIterator[None]:
    """Raise TimeoutError, which names `what`, when the block takes longer."""
    try:
        async with asyncio.timeout(timeout_seconds):
            yield
    except TimeoutError as error:
        raise TimeoutError(f"{what} took longer than {timeout_seconds:g} s") from error


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
