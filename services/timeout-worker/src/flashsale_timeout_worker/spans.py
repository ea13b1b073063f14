"""Spans of an expiry. The trace of each order gets its wait, what ended the wait, and the script call that released its units.

A script call handles many orders, so their spans begin and end together.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Any

from opentelemetry.trace import SpanKind

from flashsale_consumer import Delivery
from flashsale_core import semconv
from flashsale_core.messages import OrdersReserved, traced
from flashsale_core.topology import RESERVED_ROUTING_KEY, TIMEOUT_QUEUE, wait_queue
from flashsale_core.tracing import SENT_AT_HEADER, Tracing, sent_context, traceparent
from flashsale_timeout_worker.expiry import Expired


class ExpirySpans:
    def __init__(self, tracing: Tracing, amqp_url: str, redis_url: str) -> None:
        self._tracing = tracing
        self._amqp_url = amqp_url
        self._call = semconv.script_call("expire", redis_url)

    def returned(self, delivery: Delivery, message: OrdersReserved, expired: Sequence[Expired], started_ns: int) -> None:
        """Record holds whose message the broker returned at `started_ns`, and their outcome, which is known now."""
        if not self._tracing.enabled:
            return
        done = semconv.process(delivery.exchange, delivery.routing_key, TIMEOUT_QUEUE, self._amqp_url)
        wait = semconv.wait(_wait_queue(delivery.routing_key))
        of_message = {"messaging.message.id": delivery.message_id, "messaging.rabbitmq.message.delivery_tag": delivery.tag}
        sent_ns = min(started_ns, _milliseconds(delivery.headers.get(SENT_AT_HEADER), message.at) * 1_000_000)
        released = {f"{message.sale}.{order.order_id}": order.quantity for order in expired}
        for order_id, context in traced(message):
            parent, order = sent_context(context, delivery.headers), {"flashsale.order_id": order_id}
            self._tracing.start(wait.name, SpanKind.INTERNAL, parent, {**wait.attributes, **order}, sent_ns).end(started_ns)
            attributes = {**done.attributes, **of_message, "flashsale.wait_ms": (started_ns - sent_ns) // 1_000_000}
            self._record(done.name, SpanKind.CONSUMER, parent, {**attributes, **order, **_outcome(released.get(order_id))}, started_ns)

    def swept(self, sale_id: str, expired: Iterable[Expired], started_ns: int) -> None:
        """Record orders that the sweeper expired, without a message."""
        if not self._tracing.enabled:
            return
        for order in expired:
            if order.traceparent:
                attributes = {"flashsale.order_id": f"{sale_id}.{order.order_id}", "flashsale.late_ms": order.lateness_ms}
                self._record("sweep", SpanKind.INTERNAL, order.traceparent, {**attributes, **_outcome(order.quantity)}, started_ns)

    def _record(self, name: str, kind: SpanKind, parent: str, attributes: dict[str, Any], started_ns: int) -> None:
        ended_ns = time.time_ns()
        span = self._tracing.start(name, kind, parent, attributes, started_ns)
        self._tracing.start(self._call.name, SpanKind.CLIENT, traceparent(span), self._call.attributes, started_ns).end(ended_ns)
        span.end(ended_ns)


def _outcome(units: int | None) -> dict[str, Any]:
    """The attributes of an outcome. `units` is None when the order is no longer a hold, or is not due."""
    return {"flashsale.expired": units is not None, "flashsale.units_returned": units or 0}


def _wait_queue(routing_key: str) -> str:
    """The wait queue of a dead-lettered message: the broker keeps its routing key, which contains the payment window."""
    window = routing_key.removeprefix(f"{RESERVED_ROUTING_KEY}.")
    return wait_queue(int(window)) if window.isdigit() else TIMEOUT_QUEUE


def _milliseconds(header: Any, default: int) -> int:
    return header if isinstance(header, int) else default
