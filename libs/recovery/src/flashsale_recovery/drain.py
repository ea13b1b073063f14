"""Drains the queue `orders`: what the broker has confirmed must be in the ledger before anything is rebuilt from it."""

import asyncio
import time
import uuid
from collections.abc import Callable
from functools import partial

from flashsale_core import crash
from flashsale_core.errors import Retryable
from flashsale_recovery.ledger import Ledger
from flashsale_recovery.markers import send_markers, until_answered

POLL_SECONDS = 0.05
REPEAT_SECONDS = 30.0
"""A marker that has not arrived after this is sent again: the broker may have lost it."""
Say = Callable[[str], None]


class NotDrained(Retryable):
    """The queue was not drained in the time that a recovery by hand has. The shards stay closed, and nothing is lost."""


async def drain(ledger: Ledger, amqp_url: str, timeout_seconds: float, say: Say) -> None:
    """Return after everything that was in the queue before the call was written by an order-worker, or is being written.

    There is no limit: a rebuild without it would sell units of orders that are still on their way. `say` gets what it waits for.
    """
    marker = str(uuid.uuid4())
    while True:
        await until_answered(
            partial(send_markers, markers=[marker]), amqp_url, timeout_seconds, lambda reason: say(f"the queue cannot be drained: {reason}")
        )
        say("the order-worker has not reached the end of the queue yet")
        repeat_at = time.monotonic() + REPEAT_SECONDS
        while time.monotonic() < repeat_at:
            if await ledger.has_marker(marker):
                crash.point("marker.received")
                return
            await asyncio.sleep(POLL_SECONDS)
