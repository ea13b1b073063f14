"""How async tests wait for what no event announces."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], timeout_seconds: float = 60, poll_seconds: float = 0.001) -> None:
    """Ask again and again until `condition` is true. Raises TimeoutError after `timeout_seconds`."""
    async with asyncio.timeout(timeout_seconds):
        while not condition():  # noqa: ASYNC110 - a list, a log or another process, which have no event
            await asyncio.sleep(poll_seconds)
