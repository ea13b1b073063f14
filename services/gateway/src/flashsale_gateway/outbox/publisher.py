"""Publishes outbox entries to RabbitMQ, each confirmed or failed. The connection is the relay's."""

import asyncio
from collections.abc import Sequence
from time import perf_counter

from aio_pika.exceptions import DeliveryError

from flashsale_core import crash, tracing
from flashsale_core.messages import join
from flashsale_core.records import Entry
from flashsale_core.tasks import only_own_cancellation
from flashsale_gateway import metrics
from flashsale_gateway.outbox.confirmed_channel import ConfirmedChannel
from flashsale_gateway.outbox.refused_routes import RefusedRoutes
from flashsale_gateway.outbox.spans import PublishSpans
from flashsale_gateway.settings import Settings

# Errors that concern the route. Any other error concerns the connection, and is no evidence against the route.
_REFUSED = (DeliveryError, TimeoutError)


class Publisher:
    def __init__(self, settings: Settings, trace: tracing.Tracing) -> None:
        self._timeout_seconds = settings.relay_publish_timeout_seconds
        self._in_flight_max = settings.relay_in_flight_max
        self._slots = asyncio.Semaphore(settings.relay_in_flight_max)
        self._in_flight = 0
        self._spans = PublishSpans(trace, settings.amqp_url)
        self.refused_routes = RefusedRoutes()
        self._channel: ConfirmedChannel | None = None

    def open(self, channel: ConfirmedChannel) -> None:
        self._channel = channel

    def close(self) -> None:
        self._channel = None

    @property
    def connected(self) -> bool:
        """Whether there is a channel to the broker. One whose broker is frozen stays open until its heartbeats are missed."""
        return self._channel is not None and not self._channel.is_closed

    @property
    def ready(self) -> bool:
        """Whether a publish can begin now and is likely to succeed."""
        return self.connected and self._in_flight < self._in_flight_max

    async def publish(self, entries: Sequence[Entry]) -> bool:
        """Publish entries of one routing key as one message, and wait for the confirm. Every failure is counted and raised.

        On a refused route, publish only what `refused_routes.allow` permits. Returns whether more of its entries may be tried now.
        """
        self._in_flight += 1
        routing_key = entries[0].routing_key
        try:
            async with self._slots:
                with only_own_cancellation():
                    await self._publish(entries)
        except Exception as error:
            metrics.PUBLISH_FAILURES.labels(type(error).__name__).inc()
            if isinstance(error, _REFUSED):
                self.refused_routes.refuse(routing_key, len(entries), perf_counter())
            else:
                self.refused_routes.drop(routing_key, len(entries))
            raise
        finally:
            self._in_flight -= 1
        return self.refused_routes.confirm(routing_key, len(entries))

    async def _publish(self, entries: Sequence[Entry]) -> None:
        if self._channel is None:
            raise ConnectionError("there is no channel to the broker")
        started = perf_counter()
        routing_key, message_id, bodies = entries[0].routing_key, entries[0].entry_id, [entry.body for entry in entries]
        with self._spans.for_message(routing_key, message_id, bodies) as headers:
            crash.point("outbox.publishing")
            async with asyncio.timeout(self._timeout_seconds):
                await self._channel.publish(routing_key, message_id, join(bodies), headers)
            crash.point("outbox.confirmed")
        metrics.PUBLISHED.inc(len(entries))
        metrics.PUBLISH_SECONDS.observe(perf_counter() - started)
