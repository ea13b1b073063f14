"""What a session checks at the broker before it publishes: queues, exchange, and the policy for messages without a route."""

import logging
from collections.abc import Sequence
from datetime import timedelta

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractExchange
from aio_pika.exceptions import PublishError

from flashsale_core import topology
from flashsale_gateway import metrics

PROBE_LIFETIME = timedelta(milliseconds=1)
log = logging.getLogger(__name__)


async def require_queues(channel: AbstractChannel, windows: Sequence[int]) -> None:
    """Raise the broker's error, which names the queue, when a queue of the topology is missing. `windows` are in seconds."""
    for queue in topology.queues(windows):
        await channel.declare_queue(queue, passive=True)


async def report_unrouted_policy(exchange: AbstractExchange, timeout_seconds: float) -> None:
    """Log and measure whether the broker keeps messages that it cannot route. Without its policy `events`, orders stay safe in the outbox.

    The probe lives for a millisecond: with the policy it goes to the queue `unrouted`, and expires there.
    """
    try:
        await exchange.publish(aio_pika.Message(b"", expiration=PROBE_LIFETIME), "probe", mandatory=True, timeout=timeout_seconds)
        metrics.UNROUTED_KEPT.set(1)
    except PublishError:
        metrics.UNROUTED_KEPT.set(0)
        reason = f"RabbitMQ: the policy `events` (alternate-exchange {topology.UNROUTED_EXCHANGE}) is missing; {topology.CURE}"
        log.error("relay.policy_missing", extra={"reason": reason})
