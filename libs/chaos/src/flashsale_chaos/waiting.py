"""Waits for what no event tells of: a process, a server or a service."""

import asyncio
from collections.abc import Awaitable, Callable

POLL_SECONDS = 0.02


async def until(condition: Callable[[], Awaitable[bool]], timeout_seconds: float) -> bool:
    """Whether `condition` became true within the timeout."""
    try:
        async with asyncio.timeout(timeout_seconds):
            while not await condition():  # noqa: ASYNC110 - a server has no event to wait for
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        return False
    return True
