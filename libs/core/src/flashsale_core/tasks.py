"""Cancels background tasks reliably, and distinguishes their own cancellation from that of something they wait for."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

CANCEL_AGAIN_SECONDS = 0.1
CANCELS_MAX = 100


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
