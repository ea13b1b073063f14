"""Spans of a published message: one in the trace of each order in it. The message's headers name these spans to the workers."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry.trace import Span, SpanKind

from flashsale_core import semconv, topology, tracing
from flashsale_core.messages import Message, read, traced

NAMED_MAX = 96
"""The most spans that a message names: its headers must fit into the smallest frame a broker may demand, 4,096 bytes (AMQP 0-9-1, 4.2.3).
Further orders are processed under the span that they carry."""
_TRACED = b'"00-'
"""Only a body that contains this may have a traceparent; other bodies are not decoded."""


class PublishSpans:
    def __init__(self, trace: tracing.Tracing, amqp_url: str) -> None:
        self._tracing = trace
        self._amqp_url = amqp_url

    @contextmanager
    def for_message(self, routing_key: str, message_id: str, bodies: Sequence[bytes]) -> Iterator[dict[str, Any] | None]:
        """Yields the headers of the message, or None if no order in it is traced. The spans end with the block, at the broker's confirm."""
        orders = self._orders(bodies) if self._tracing.enabled else []
        if not orders:
            yield None
            return
        now_ms = time.time_ns() // 1_000_000
        sent = semconv.send(topology.EVENTS_EXCHANGE, routing_key, self._amqp_url)
        shared = {**sent.attributes, "messaging.message.id": message_id}
        spans = []
        for message, order_id, parent in orders:
            own = {"flashsale.order_id": order_id, "flashsale.outbox_ms": max(0, now_ms - message.at)}
            spans.append(self._tracing.start(sent.name, SpanKind.PRODUCER, parent, {**shared, **own}))
        with tracing.ended(spans):
            yield _headers([parent for _, _, parent in orders], spans, now_ms)

    def _orders(self, bodies: Sequence[bytes]) -> list[tuple[Message, str, str]]:
        """(message, order id, traceparent) of each traced order."""
        messages = [message for body in bodies if _TRACED in body for message in read(body).messages]
        return [(message, order_id, parent) for message in messages for order_id, parent in traced(message)]


def _headers(parents: Sequence[str], spans: Sequence[Span], now_ms: int) -> dict[str, Any]:
    contexts = [tracing.traceparent(span) for span in spans]
    named = zip(parents[:NAMED_MAX], contexts, strict=False)
    sent = {tracing.span_id(parent): tracing.span_id(context) for parent, context in named}
    return {"traceparent": contexts[0], tracing.SENT_HEADER: sent, tracing.SENT_AT_HEADER: now_ms}
