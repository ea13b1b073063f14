"""Waits that are over, as the broker dead-letters them: the message that announced the holds comes back when their window has passed.

A batch may name thousands of sales: they are asked for together.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from flashsale_consumer import Delivery, Poison, Publication, once_each
from flashsale_core import topology
from flashsale_core.errors import Rejected, Retryable
from flashsale_core.messages import OrdersReserved, WaitProbed, read_wait
from flashsale_core.tracing import Tracing
from flashsale_timeout_worker import metrics
from flashsale_timeout_worker.early import wait_again
from flashsale_timeout_worker.expiry import Expired, Expiry, Outcome
from flashsale_timeout_worker.spans import ExpirySpans
from flashsale_timeout_worker.waits import Waits

SOURCE = "queue"
log = logging.getLogger(__name__)


class OverdueWaits:
    """The handler of the `payment.timeout` queue."""

    def __init__(
        self,
        expiry: Expiry,
        waits: Waits,
        tracing: Tracing,
        windows: Sequence[int] = topology.WINDOWS_DEFAULT,
        *,
        amqp_url: str = "",
        redis_url: str = "",
    ) -> None:
        """`windows` have wait queues, in seconds. The URLs are for spans: they tell where broker and Redis are."""
        self._expiry = expiry
        self._windows = windows
        self._waits = waits
        self._spans = ExpirySpans(tracing, amqp_url, redis_url)

    async def __call__(self, batch: Sequence[Delivery]) -> Sequence[Poison | Publication]:
        """Raises Retryable when Redis, or one master of a cluster, is away: what the others gave back until then stays given back."""
        started_ns = time.time_ns()
        found = sort(batch)
        outcomes = await self._expiry.expire(orders_of(found.waits), SOURCE)
        away = next((outcome.fault for outcome in outcomes.values() if isinstance(outcome.fault, Retryable)), None)
        for wait, expired in shares(found.waits, outcomes):
            # Of a batch that comes again only what cannot be told again.
            if outcomes[wait.message.sale].fault is None and (expired or away is None):
                self._spans.waited(wait.delivery, wait.message, expired, started_ns)
        if away is not None:
            raise away
        if found.windows:
            await self._waits.came_home(sorted(found.windows))
        poisons = once_each(sorted([*found.poisons, *rejected(found.waits, outcomes)], key=lambda poison: poison.index))
        return [*poisons, *self._early(found.waits, outcomes)]

    def _early(self, waits: "Sequence[Wait]", outcomes: Mapping[str, Outcome]) -> list[Publication]:
        """A hold that is not due yet must not lose its wait: without the sweeper nothing else would release it."""
        # A sale whose data is broken is parked with all its holds.
        not_due = {sale_id: outcome.not_due for sale_id, outcome in outcomes.items() if outcome.fault is None and outcome.not_due}
        publication = wait_again([wait.message for wait in waits], not_due, self._windows)
        if publication is None:
            return []
        orders = sum(map(len, not_due.values()))
        metrics.EARLY_ORDERS.inc(orders)
        log.warning("waits.early", extra={"orders": orders, "window_seconds": publication.routing_key})
        return [publication]


@dataclass(frozen=True, slots=True)
class Wait:
    index: int
    delivery: Delivery
    message: OrdersReserved


@dataclass(frozen=True, slots=True)
class Sorted:
    """A batch, line by line: waits that are over, windows whose probe came home, and what is neither."""

    waits: list[Wait] = field(default_factory=list)
    windows: set[int] = field(default_factory=set)
    poisons: list[Poison] = field(default_factory=list)


def sort(batch: Sequence[Delivery]) -> Sorted:
    found = Sorted()
    for index, delivery in enumerate(batch):
        messages, errors = read_wait(delivery.body)
        found.poisons.extend(Poison(index, "undecodable", error) for error in errors)
        for message in messages:
            if isinstance(message, WaitProbed):
                found.windows.add(message.window)
            elif isinstance(message, OrdersReserved):
                found.waits.append(Wait(index, delivery, message))
            else:
                found.poisons.append(Poison(index, "unexpected_type", type(message).__name__))
    return found


def orders_of(waits: Sequence[Wait]) -> dict[str, list[str]]:
    """What to ask for, by sale: the orders of all messages together, for a script call costs more than an order in it."""
    orders: dict[str, list[str]] = {}
    for wait in waits:
        orders.setdefault(wait.message.sale, []).extend(line.order_id for line in wait.message.orders)
    return orders


def shares(waits: Sequence[Wait], outcomes: Mapping[str, Outcome]) -> Iterator[tuple[Wait, list[Expired]]]:
    """What expired of each message. An order that two of them name, for one was delivered twice, is the first one's."""
    left = {sale_id: {one.order_id: one for one in outcome.expired} for sale_id, outcome in outcomes.items()}
    for wait in waits:
        of_sale = left[wait.message.sale]
        yield wait, [of_sale.pop(line.order_id) for line in wait.message.orders if line.order_id in of_sale]


def rejected(waits: Sequence[Wait], outcomes: Mapping[str, Outcome]) -> Iterator[Poison]:
    """Messages that Redis will never work off, and why."""
    for wait in waits:
        fault = outcomes[wait.message.sale].fault
        if isinstance(fault, Rejected):
            yield Poison(wait.index, "rejected", fault.reason)
