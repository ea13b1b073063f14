"""Markers: messages to the queue `orders` that an order-worker writes to the ledger after all that it received before them."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import aio_pika
from aio_pika.abc import AbstractChannel

from flashsale_core import crash, topology
from flashsale_core.backoff import reconnect_backoff
from flashsale_core.broker import broker_session
from flashsale_core.faults import Server, describe_error
from flashsale_core.messages import LedgerMarker, encode
from flashsale_core.tasks import only_own_cancellation, within

log = logging.getLogger(__name__)
T = TypeVar("T")


async def until_answered(
    work: Callable[[AbstractChannel], Awaitable[T]],
    amqp_url: str,
    timeout_seconds: float,
    on_failure: Callable[[str], object] = lambda _: None,
) -> T:
    """Do `work` with a channel that has publisher confirms, again until RabbitMQ answers. `on_failure` gets the reason of each failure."""
    backoff = reconnect_backoff()
    while True:
        try:
            with only_own_cancellation():
                session = broker_session(aio_pika.connect, amqp_url, timeout_seconds)
                async with session as connection, within(timeout_seconds, "sending markers"):
                    return await work(await connection.channel(publisher_confirms=True, on_return_raises=True))
        except Exception as error:
            # Broad on purpose: whatever the broker's failure is, the ledger cannot be complete before it is back.
            reason = describe_error(Server.RABBITMQ, error)
            on_failure(reason)
            log.warning("drain.waiting", extra={"reason": reason})
            await asyncio.sleep(backoff.pause_seconds(0))


async def send_markers(channel: AbstractChannel, markers: Sequence[str]) -> None:
    """Return once the broker has confirmed them. The channel must have publisher confirms."""
    for marker in markers:
        body = encode(LedgerMarker(v=1, marker=marker, at=time.time_ns() // 1_000_000))
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        crash.point("marker.publishing")
        await channel.default_exchange.publish(message, topology.ORDERS_QUEUE, mandatory=True)
        crash.point("marker.confirmed")
