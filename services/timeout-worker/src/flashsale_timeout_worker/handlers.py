"""Waits that are over, as the broker dead-letters them: the message that announced the holds comes back when their window has passed."""

import time
from collections.abc import Sequence

from opentelemetry.trace import SpanKind

from flashsale_consumer import Delivery, Poison, once_each
from flashsale_core import topology
from flashsale_core.errors import Rejected
from flashsale_core.messages import OrdersReserved, WaitProbed, read_wait
from flashsale_core.tracing import Tracing
from flashsale_timeout_worker.expiry import Expired, Expiry
from flashsale_timeout_worker.waits import Waits

SOURCE = "queue"


class OverdueWaits:
    """The handler of the `payment.timeout` queue."""

    def __init__(self, expiry: Expiry, waits: Waits, tracing: Tracing) -> None:
        self._expiry = expiry
        self._waits = waits
        self._tracing = tracing

    async def __call__(self, batch: Sequence[Delivery]) -> Sequence[Poison]:
        """Raises Retryable when Redis is away."""
        poisons: list[Poison] = []
        probed: set[int] = set()
        for index, delivery in enumerate(batch):
            messages, errors = read_wait(delivery.body)
            poisons += [Poison(index, "undecodable", error) for error in errors]
            for message in messages:
                if isinstance(message, WaitProbed):
                    probed.add(message.window)
                elif isinstance(message, OrdersReserved):
                    poisons += [Poison(index, "rejected", reason) for reason in await self._expire(message)]
                else:
                    poisons.append(Poison(index, "unexpected_type", type(message).__name__))
        if probed:
            await self._waits.came_home(sorted(probed))
        return once_each(poisons)

    async def _expire(self, message: OrdersReserved) -> list[str]:
        """Expire what is due; returns why Redis will never do so, if that is so. Raises Retryable."""
        started_ns = time.time_ns()
        try:
            expired = await self._expiry.expire(message.sale, [line.order_id for line in message.orders], SOURCE)
        except Rejected as error:
            return [error.reason]
        if self._tracing.enabled:
            self._trace(message, expired, started_ns)
        return []

    def _trace(self, message: OrdersReserved, expired: Sequence[Expired], started_ns: int) -> None:
        """One CONSUMER span per sampled order; what it waited in the queue is the gap before it, and an attribute."""
        gone = {one.order_id for one in expired}
        for line in message.orders:
            if not line.traceparent:
                continue
            attributes = {
                "messaging.system": "rabbitmq",
                "messaging.operation.type": "process",
                "messaging.destination.name": topology.TIMEOUT_QUEUE,
                "flashsale.order_id": line.order_id,
                "flashsale.expired": line.order_id in gone,
                "flashsale.wait_ms": started_ns // 1_000_000 - message.at,
            }
            self._tracing.start(f"process {topology.TIMEOUT_QUEUE}", SpanKind.CONSUMER, line.traceparent, attributes, started_ns).end()
