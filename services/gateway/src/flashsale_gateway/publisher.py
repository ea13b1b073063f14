"""Outbox entries to RabbitMQ, each confirmed or failed; the connection is the relay's."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractExchange
from opentelemetry.trace import SpanKind

from flashsale_core import topology, tracing
from flashsale_core.messages import OrdersReserved, decode
from flashsale_gateway import metrics
from flashsale_gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Entry:
    stream: str
    entry_id: str
    routing_key: str
    body: bytes


class Publisher:
    def __init__(self, settings: Settings, trace: tracing.Tracing) -> None:
        self._timeout_seconds = settings.relay_publish_timeout_seconds
        self._in_flight_max = settings.relay_in_flight_max
        self._slots = asyncio.Semaphore(settings.relay_in_flight_max)
        self._in_flight = 0
        self._tracing = trace
        self._channel: AbstractChannel | None = None
        self._exchange: AbstractExchange | None = None

    def open(self, channel: AbstractChannel, exchange: AbstractExchange) -> None:
        self._channel, self._exchange = channel, exchange

    def close(self) -> None:
        self._channel = self._exchange = None

    @property
    def ready(self) -> bool:
        """Whether a publish can begin now and has a chance."""
        return self._channel is not None and not self._channel.is_closed and self._in_flight < self._in_flight_max

    async def publish(self, entry: Entry) -> None:
        """Return once the broker has confirmed it; every failure is raised, and counted."""
        self._in_flight += 1
        try:
            async with self._slots:
                await self._publish(entry)
        except Exception as error:
            metrics.PUBLISH_FAILURES.labels(type(error).__name__).inc()
            raise
        finally:
            self._in_flight -= 1

    async def _publish(self, entry: Entry) -> None:
        if self._exchange is None:
            raise ConnectionError("there is no channel to the broker")
        started = perf_counter()
        message = aio_pika.Message(
            entry.body,
            message_id=entry.entry_id,
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            headers=self._trace_headers(entry) if self._tracing.enabled else None,
        )
        await self._exchange.publish(message, entry.routing_key, mandatory=True, timeout=self._timeout_seconds)
        metrics.PUBLISHED.inc()
        metrics.PUBLISH_SECONDS.observe(perf_counter() - started)

    def _trace_headers(self, entry: Entry) -> dict[str, Any] | None:
        """A PRODUCER span for the entry, child of its first traced order; its context goes into the message's headers."""
        message = decode(entry.body)
        lines: Iterable[Any] = message.orders if isinstance(message, OrdersReserved) else ()
        parent = next((line.traceparent for line in lines if line.traceparent), None)
        if parent is None:
            return None
        attributes = {"messaging.system": "rabbitmq", "messaging.destination.name": topology.EVENTS_EXCHANGE}
        span = self._tracing.start(f"send {topology.EVENTS_EXCHANGE}", SpanKind.PRODUCER, parent, attributes)
        span.end()
        return {"traceparent": tracing.traceparent(span)}
