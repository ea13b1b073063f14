"""Drains the queue `orders`: what the broker has confirmed must be in the ledger before anything is rebuilt from it."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable

import aio_pika

from flashsale_core import crash
from flashsale_core.backoff import reconnect_backoff
from flashsale_core.broker import broker_session
from flashsale_core.faults import Server, describe_error
from flashsale_core.tasks import only_own_cancellation, within
from flashsale_recovery.ledger import Ledger
from flashsale_recovery.markers import send_markers

POLL_SECONDS = 0.05
REPEAT_SECONDS = 30.0
"""A marker that has not arrived after this is sent again: the broker may have lost it."""
Say = Callable[[str], None]
log = logging.getLogger(__name__)


async def drain(ledger: Ledger, amqp_url: str, timeout_seconds: float, say: Say) -> None:
    """Return after everything that was in the queue before the call was written by an order-worker, or is being written.

    There is no limit: a rebuild without it would sell units of orders that are still on their way. `say` gets what it waits for.
    """
    marker = str(uuid.uuid4())
    while True:
        await _publish(marker, amqp_url, timeout_seconds, say)
        say("the order-worker has not reached the end of the queue yet")
        repeat_at = time.monotonic() + REPEAT_SECONDS
        while time.monotonic() < repeat_at:
            if await ledger.has_marker(marker):
                crash.point("marker.received")
                return
            await asyncio.sleep(POLL_SECONDS)


async def _publish(marker: str, amqp_url: str, timeout_seconds: float, say: Say) -> None:
    backoff = reconnect_backoff()
    while True:
        try:
            with only_own_cancellation():
                return await _publish_once(marker, amqp_url, timeout_seconds)
        except Exception as error:
            # Broad on purpose: whatever the broker's failure is, the ledger cannot be complete before it is back.
            reason = describe_error(Server.RABBITMQ, error)
            say(f"the queue cannot be drained: {reason}")
            log.warning("drain.waiting", extra={"reason": reason})
            await asyncio.sleep(backoff.pause_seconds(0))


async def _publish_once(marker: str, amqp_url: str, timeout_seconds: float) -> None:
    session = broker_session(aio_pika.connect, amqp_url, timeout_seconds)
    async with session as connection, within(timeout_seconds, "sending the marker"):
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        await send_markers(channel, [marker])
