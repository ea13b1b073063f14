"""A service begins its work when the ledger can take it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from flashsale_core.errors import Retryable

log = logging.getLogger(__name__)


async def wait_for_ledger(attempt: Callable[[], Awaitable[None]], stop: asyncio.Event) -> bool:
    """Repeat `attempt` while it raises Retryable; returns False if `stop` is set first."""
    while not stop.is_set():
        try:
            await attempt()
        except Retryable as error:
            log.warning("ledger.waiting", extra={"reason": str(error)})
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), error.delay_seconds)
        else:
            return True
    return False
