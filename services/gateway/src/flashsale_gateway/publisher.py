"""Outbox entries to RabbitMQ, each confirmed or failed; the connection is the relay's."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractExchange
from opentelemetry.trace import SpanKind

from flashsale_core import topology, tracing
from flashsale_core.messages import Message, OrdersReserved, PaymentsRecorded, decode, join
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

    async def publish(self, entries: Sequence[Entry]) -> None:
        """Publish entries of one routing key as one message; return once it is confirmed. Every failure is raised, and counted."""
        self._in_flight += 1
        try:
            async with self._slots:
                await self._publish(entries)
        except Exception as error:
            metrics.PUBLISH_FAILURES.labels(type(error).__name__).inc()
            raise
        finally:
            self._in_flight -= 1

    async def _publish(self, entries: Sequence[Entry]) -> None:
        if self._exchange is None:
            raise ConnectionError("there is no channel to the broker")
        started = perf_counter()
        message = aio_pika.Message(
            join(entry.body for entry in entries),
            message_id=entries[0].entry_id,
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            headers=self._trace_headers(entries) if self._tracing.enabled else None,
        )
        await self._exchange.publish(message, entries[0].routing_key, mandatory=True, timeout=self._timeout_seconds)
        metrics.PUBLISHED.inc(len(entries))
        metrics.PUBLISH_SECONDS.observe(perf_counter() - started)

    def _trace_headers(self, entries: Sequence[Entry]) -> dict[str, Any] | None:
        """A PRODUCER span for each traced order, its child; the context of the first goes into the message's headers."""
        attributes = {
            "messaging.system": "rabbitmq",
            "messaging.operation.type": "send",
            "messaging.destination.name": topology.EVENTS_EXCHANGE,
            "messaging.batch.message_count": len(entries),
        }
        contexts = []
        for message in (decode(entry.body) for entry in entries):
            for parent in _parents(message):
                span = self._tracing.start(f"send {topology.EVENTS_EXCHANGE}", SpanKind.PRODUCER, parent, attributes)
                span.end()
                contexts.append(tracing.traceparent(span))
        return {"traceparent": contexts[0]} if contexts else None


def _parents(message: Message) -> list[str]:
    match message:
        case OrdersReserved():
            return [line.traceparent for line in message.orders if line.traceparent]
        case PaymentsRecorded():
            return [line.traceparent for line in message.payments if line.traceparent]
        case _:
            return []
