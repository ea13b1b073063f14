"""Markers: messages to the queue `orders` that an order-worker writes to the ledger after all that it received before them."""

import time
from collections.abc import Sequence

import aio_pika
from aio_pika.abc import AbstractChannel

from flashsale_core import crash, topology
from flashsale_core.messages import LedgerMarker, encode


async def send_markers(channel: AbstractChannel, markers: Sequence[str]) -> None:
    """Return once the broker has confirmed them. The channel must have publisher confirms."""
    for marker in markers:
        body = encode(LedgerMarker(v=1, marker=marker, at=time.time_ns() // 1_000_000))
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        crash.point("marker.publishing")
        await channel.default_exchange.publish(message, topology.ORDERS_QUEUE, mandatory=True)
        crash.point("marker.confirmed")
