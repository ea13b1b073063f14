"""Handles messages of holds, which the broker dead-letters to `payment.timeout` when their payment window has passed.

A batch may name thousands of sales; all its orders are expired together.
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
from flashsale_timeout_worker.expiry import Expired, Expiry, Outcome
from flashsale_timeout_worker.requeue import requeue_not_due
from flashsale_timeout_worker.spans import ExpirySpans
from flashsale_timeout_worker.wait_probes import WaitProbes

SOURCE = "queue"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HoldMessage:
    """A message of holds, with its delivery and the delivery's place in the batch."""

    index: int
    delivery: Delivery
    message: OrdersReserved


@dataclass(frozen=True, slots=True)
class SortedBatch:
    """The messages of a batch by kind."""

    holds: list[HoldMessage] = field(default_factory=list)
    probed_windows: set[int] = field(default_factory=set)
    """The payment windows in seconds whose probe returned."""
    poisons: list[Poison] = field(default_factory=list)


class PaymentTimeouts:
    """The handler of the `payment.timeout` queue."""

    def __init__(
        self,
        expiry: Expiry,
        probes: WaitProbes,
        tracing: Tracing,
        windows: Sequence[int] = topology.WINDOWS_DEFAULT,
        *,
        amqp_url: str = "",
        redis_url: str = "",
    ) -> None:
        """`windows` are the payment windows in seconds that have wait queues. The URLs give spans the addresses of broker and Redis."""
        self._expiry = expiry
        self._windows = windows
        self._probes = probes
        self._spans = ExpirySpans(tracing, amqp_url, redis_url)

    async def __call__(self, batch: Sequence[Delivery]) -> Sequence[Poison | Publication]:
        """Raises Retryable when Redis, or one master of a cluster, is away. Units released by the other masters stay released."""
        started_ns = time.time_ns()
        messages = sort_batch(batch)
        outcomes = await self._expiry.expire(orders_by_sale(messages.holds), SOURCE)
        away = next((outcome.fault for outcome in outcomes.values() if isinstance(outcome.fault, Retryable)), None)
        for hold, expired in expired_by_message(messages.holds, outcomes):
            # A batch that will be retried gets spans only for what expired now: the retry will not find it again.
            if outcomes[hold.message.sale].fault is None and (expired or away is None):
                self._spans.returned(hold.delivery, hold.message, expired, started_ns)
        if away is not None:
            raise away
        if messages.probed_windows:
            await self._probes.mark_returned(sorted(messages.probed_windows))
        poisons = once_each(sorted([*messages.poisons, *rejected(messages.holds, outcomes)], key=lambda poison: poison.index))
        return [*poisons, *self._requeue(messages.holds, outcomes)]

    def _requeue(self, holds: Sequence[HoldMessage], outcomes: Mapping[str, Outcome]) -> list[Publication]:
        """Send holds that are not due back to a wait queue: without the sweeper nothing else would release them."""
        # A sale whose data is broken is excluded: its message is parked with all its holds.
        not_due = {sale_id: outcome.not_due for sale_id, outcome in outcomes.items() if outcome.fault is None and outcome.not_due}
        publication = requeue_not_due([hold.message for hold in holds], not_due, self._windows)
        if publication is None:
            return []
        orders = sum(map(len, not_due.values()))
        metrics.EARLY_ORDERS.inc(orders)
        log.warning("waits.early", extra={"orders": orders, "window_seconds": publication.routing_key})
        return [publication]


def sort_batch(batch: Sequence[Delivery]) -> SortedBatch:
    """Decode every line of every delivery; what is neither a hold nor a probe is poison."""
    sorted_batch = SortedBatch()
    for index, delivery in enumerate(batch):
        messages, errors = read_wait(delivery.body)
        sorted_batch.poisons.extend(Poison(index, "undecodable", error) for error in errors)
        for message in messages:
            if isinstance(message, WaitProbed):
                sorted_batch.probed_windows.add(message.window)
            elif isinstance(message, OrdersReserved):
                sorted_batch.holds.append(HoldMessage(index, delivery, message))
            else:
                sorted_batch.poisons.append(Poison(index, "unexpected_type", type(message).__name__))
    return sorted_batch


def orders_by_sale(holds: Sequence[HoldMessage]) -> dict[str, list[str]]:
    """The orders of all messages by sale: one script call for many orders costs less than many calls."""
    orders: dict[str, list[str]] = {}
    for hold in holds:
        orders.setdefault(hold.message.sale, []).extend(line.order_id for line in hold.message.orders)
    return orders


def expired_by_message(holds: Sequence[HoldMessage], outcomes: Mapping[str, Outcome]) -> Iterator[tuple[HoldMessage, list[Expired]]]:
    """What expired, by message. If two messages name the same order, because of a redelivery, the first one gets it."""
    unassigned = {sale_id: {order.order_id: order for order in outcome.expired} for sale_id, outcome in outcomes.items()}
    for hold in holds:
        of_sale = unassigned[hold.message.sale]
        yield hold, [of_sale.pop(line.order_id) for line in hold.message.orders if line.order_id in of_sale]


def rejected(holds: Sequence[HoldMessage], outcomes: Mapping[str, Outcome]) -> Iterator[Poison]:
    """The messages that Redis will never accept, with the reason."""
    for hold in holds:
        fault = outcomes[hold.message.sale].fault
        if isinstance(fault, Rejected):
            yield Poison(hold.index, "rejected", fault.reason)
