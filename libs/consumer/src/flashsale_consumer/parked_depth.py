"""The number of parked messages, as a metric: each worker asks the broker for the depth of the queue that it parks into."""

import asyncio
import logging
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractConnection

from flashsale_consumer import metrics
from flashsale_core.broker import broker_session
from flashsale_core.faults import Server, describe_error
from flashsale_core.tasks import only_own_cancellation, within

INTERVAL_SECONDS = 15.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Watch:
    amqp_url: str
    queue: str
    """The parked queue."""
    timeout_seconds: float
    """For connecting, and for each reading."""
    interval_seconds: float = INTERVAL_SECONDS


async def watch_parked(watch: Watch) -> None:
    """Read the depth until cancelled. While the broker is away the metric keeps its last value, and the consumer reports the fault."""
    logged: str | None = None
    while True:
        try:
            with only_own_cancellation():
                await _read_until_failure(watch)
        except Exception as error:
            reason = describe_error(Server.RABBITMQ, error)
            if reason != logged:
                log.warning("parked.unknown", extra={"queue": watch.queue, "reason": reason})
            logged = reason
            await asyncio.sleep(watch.interval_seconds)


async def _read_until_failure(watch: Watch) -> None:
    """Raises when the broker is away or the queue is gone."""
    async with broker_session(aio_pika.connect, watch.amqp_url, watch.timeout_seconds) as connection:
        while True:
            async with within(watch.timeout_seconds, f"looking at {watch.queue}"):
                metrics.PARKED_MESSAGES.labels(watch.queue).set(await _depth(connection, watch.queue))
            await asyncio.sleep(watch.interval_seconds)


async def _depth(connection: AbstractConnection, queue: str) -> int:
    # A missing queue closes the channel, so each reading has its own.
    async with connection.channel() as channel:
        return (await channel.declare_queue(queue, passive=True)).declaration_result.message_count or 0
