"""Holds that returned before they were due are sent back in one message, and for no longer than necessary."""

from collections.abc import Mapping, Sequence

import pytest

from flashsale_consumer import Delivery, Poison, Publication
from flashsale_core import topology
from flashsale_core.errors import Rejected, Retryable
from flashsale_core.messages import OrdersReserved, ReservedLine, encode, read_wait
from flashsale_core.tracing import Tracing
from flashsale_timeout_worker.expiry import Expiry, Fault, Outcome
from flashsale_timeout_worker.handlers import PaymentTimeouts
from flashsale_timeout_worker.requeue import requeue_not_due, suitable_window
from flashsale_timeout_worker.wait_probes import WaitProbes

WINDOWS = (60, 5, 300)


def message(sale_id: str, *order_ids: str) -> OrdersReserved:
    lines = [ReservedLine(order_id, "ann", 1) for order_id in order_ids]
    return OrdersReserved(v=1, sale=sale_id, epoch=7, at=1, deadline=9, orders=lines)


@pytest.mark.parametrize(("left_ms", "window"), [(1, 5), (4_999, 5), (5_000, 5), (59_999, 5), (60_000, 60), (9_000_000, 300)])
def test_window_is_the_longest_that_ends_in_time_or_the_shortest(left_ms: int, window: int) -> None:
    assert suitable_window(left_ms, WINDOWS) == window


@pytest.mark.parametrize(("left_ms", "window", "life_seconds"), [(0, "5", 0.001), (700, "5", 0.7), (7_000, "5", 5), (400_000, "300", 300)])
def test_message_waits_until_its_first_hold_is_due_or_for_a_window(left_ms: int, window: str, life_seconds: float) -> None:
    publication = requeue_not_due([message("shoe", "o1", "o2")], {"shoe": {"o1": left_ms, "o2": left_ms + 500_000}}, WINDOWS)
    assert publication is not None
    assert (publication.exchange, publication.routing_key, publication.life_seconds) == (topology.PROBES_EXCHANGE, window, life_seconds)


def test_message_contains_each_hold_that_is_not_due_once() -> None:
    messages = [message("shoe", "o1", "o2"), message("hat", "o1"), message("shoe", "o2", "o3"), message("coat", "o1")]
    publication = requeue_not_due(messages, {"shoe": {"o2": 9, "o3": 9}, "coat": {"o1": 9}}, WINDOWS)
    assert publication is not None
    assert read_wait(publication.body).messages == [message("shoe", "o2"), message("shoe", "o3"), message("coat", "o1")]


def test_nothing_is_published_when_all_holds_were_due() -> None:
    assert requeue_not_due([message("shoe", "o1")], {}, WINDOWS) is None


class NothingDue(Expiry):
    """No hold is due. The sale `broken` cannot be expired, and the master of the sale `away` is away."""

    def __init__(self) -> None:
        pass

    async def expire(self, orders: Mapping[str, Sequence[str]], source: str) -> dict[str, Outcome]:
        faults: Mapping[str, Fault] = {"broken": Rejected("INVARIANT"), "away": Retryable("away")}
        return {sale_id: Outcome([], faults.get(sale_id), dict.fromkeys(order_ids, 800)) for sale_id, order_ids in orders.items()}


class NoProbes(WaitProbes):
    def __init__(self) -> None:
        pass


async def handle(*messages: OrdersReserved) -> Sequence[Poison | Publication]:
    batch = [Delivery(encode(message), "m", redelivered=False) for message in messages]
    return await PaymentTimeouts(NothingDue(), NoProbes(), Tracing(None), WINDOWS)(batch)


async def test_broken_sale_is_parked_and_other_sales_are_requeued() -> None:
    poison, publication = await handle(message("broken", "o1"), message("shoe", "o2"))
    assert isinstance(poison, Poison)
    assert isinstance(publication, Publication)
    assert (poison.index, read_wait(publication.body).messages) == (0, [message("shoe", "o2")])


async def test_nothing_is_published_for_a_batch_that_is_retried() -> None:
    with pytest.raises(Retryable, match="away"):
        await handle(message("shoe", "o1"), message("away", "o2"))
