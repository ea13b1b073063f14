"""Ending background tasks for certain, and telling their own end from that of what they wait for."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

AGAIN_SECONDS = 0.1
TRIES = 100
_left: "set[asyncio.Task[Any]]" = set()
"""Ends that take longer than anybody waits for them: the loop itself keeps no reference to its tasks."""


async def cancel_and_wait(*tasks: "asyncio.Task[Any]") -> None:
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


def cancelled_here() -> bool:
    """Whether somebody cancelled the running task. If not, a CancelledError in it is that of something it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


@contextmanager
def only_own_cancellation() -> Iterator[None]:
    """Raise ConnectionAbortedError for a CancelledError of something else: aiormq ends so what waits for a connection it gives up."""
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
    """Wait for `ending` to be done; past `timeout_seconds` it goes on in the background. What it raises is dropped.

    For what must not hold up its caller and ignores a cancellation, as the closing of a connection to a frozen server may.
    """
    task = asyncio.create_task(ending)
    _left.add(task)
    task.add_done_callback(_drop)
    await asyncio.wait([task], timeout=timeout_seconds)


def _drop(task: "asyncio.Task[Any]") -> None:
    _left.discard(task)
    if not task.cancelled():
        # Asked for, so that asyncio does not log it as never retrieved.
        task.exception()
