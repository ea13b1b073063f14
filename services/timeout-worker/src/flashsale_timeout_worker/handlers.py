"""Waits that are over, as the broker dead-letters them: the message that announced the holds comes back when their window has passed."""

import time
from collections.abc import Sequence

from flashsale_consumer import Delivery, Poison, once_each
from flashsale_core.errors import Rejected
from flashsale_core.messages import OrdersReserved, WaitProbed, read_wait
from flashsale_core.tracing import Tracing
from flashsale_timeout_worker.expiry import Expiry
from flashsale_timeout_worker.spans import ExpirySpans
from flashsale_timeout_worker.waits import Waits

SOURCE = "queue"


class OverdueWaits:
    """The handler of the `payment.timeout` queue."""

    def __init__(self, expiry: Expiry, waits: Waits, tracing: Tracing, amqp_url: str = "", redis_url: str = "") -> None:
        """The URLs are for spans: they tell where broker and Redis are."""
        self._expiry = expiry
        self._waits = waits
        self._spans = ExpirySpans(tracing, amqp_url, redis_url)

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
                    poisons += [Poison(index, "rejected", reason) for reason in await self._expire(delivery, message)]
                else:
                    poisons.append(Poison(index, "unexpected_type", type(message).__name__))
        if probed:
            await self._waits.came_home(sorted(probed))
        return once_each(poisons)

    async def _expire(self, delivery: Delivery, message: OrdersReserved) -> list[str]:
        """Expire what is due; returns why Redis will never do so, if that is so. Raises Retryable."""
        started_ns = time.time_ns()
        try:
            expired = await self._expiry.expire(message.sale, [line.order_id for line in message.orders], SOURCE)
        except Rejected as error:
            return [error.reason]
        self._spans.waited(delivery, message, expired, started_ns)
        return []
