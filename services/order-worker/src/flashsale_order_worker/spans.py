"""Spans of the ledger. The trace of each order or payment gets a span of its message and one of the transaction that wrote it.

A batch is one transaction for many orders, so their spans begin and end together.
"""

import time
from collections.abc import Iterable

from opentelemetry.trace import Span, SpanKind

from flashsale_consumer import Delivery
from flashsale_core import semconv
from flashsale_core.messages import Message, traced
from flashsale_core.topology import ORDERS_QUEUE
from flashsale_core.tracing import Tracing, fail, sent_context, traceparent

DeliveredMessages = Iterable[tuple[Delivery, Message]]


class LedgerSpans:
    def __init__(self, tracing: Tracing, amqp_url: str, database_url: str) -> None:
        self._tracing = tracing
        self._amqp_url = amqp_url
        self._database_url = database_url

    def written(self, delivered: DeliveredMessages, tables: tuple[str, ...], started_ns: int, writing_ns: int) -> None:
        """Record messages that were committed just now. Times are in Unix ns."""
        if not self._tracing.enabled:
            return
        ended_ns = time.time_ns()
        write = semconv.ledger_write(tables, self._database_url)
        for span in self._processed(delivered, started_ns):
            self._tracing.start(write.name, SpanKind.CLIENT, traceparent(span), write.attributes, writing_ns).end(ended_ns)
            span.end(ended_ns)

    def rejected(self, delivered: DeliveredMessages, started_ns: int) -> None:
        """Record messages that the ledger will never accept."""
        if self._tracing.enabled:
            for span in self._processed(delivered, started_ns):
                fail(span, "rejected")
                span.end()

    def _processed(self, delivered: DeliveredMessages, started_ns: int) -> Iterable[Span]:
        for delivery, message in delivered:
            done = semconv.process(delivery.exchange, delivery.routing_key, ORDERS_QUEUE, self._amqp_url)
            of_message = {"messaging.message.id": delivery.message_id, "messaging.rabbitmq.message.delivery_tag": delivery.tag}
            for order_id, context in traced(message):
                attributes = {**done.attributes, **of_message, "flashsale.order_id": order_id}
                parent = sent_context(context, delivery.headers)
                yield self._tracing.start(done.name, SpanKind.CONSUMER, parent, attributes, started_ns)
