"""The handler of `payment.timeout`: holds are expired by sale, and any other message is poison."""

from collections.abc import Mapping, Sequence

import pytest

from flashsale_consumer import Delivery, Poison, Publication
from flashsale_core.errors import Rejected, Retryable
from flashsale_core.messages import OrdersCancelled, OrdersReserved, ReservedLine, WaitProbed, encode, join
from flashsale_core.tracing import Tracing
from flashsale_timeout_worker.expiry import Expired, Expiry, Fault, Outcome
from flashsale_timeout_worker.handlers import PaymentTimeouts, expired_by_message, orders_by_sale, sort_batch
from flashsale_timeout_worker.wait_probes import WaitProbes


class RecordedExpiry(Expiry):
    """Records its calls. The sale `broken` cannot be expired, and the master of the sale `away` is away."""

    def __init__(self) -> None:
        self.calls: list[dict[str, list[str]]] = []

    async def expire(self, orders: Mapping[str, Sequence[str]], source: str) -> dict[str, Outcome]:
        assert source == "queue"
        self.calls.append({sale_id: list(order_ids) for sale_id, order_ids in orders.items()})
        faults: dict[str, Fault] = {"broken": Rejected("INVARIANT"), "away": Retryable("away")}
        return {sale_id: Outcome([], faults.get(sale_id)) for sale_id in orders}


class RecordedProbes(WaitProbes):
    """Records the payment windows whose probes returned."""

    def __init__(self) -> None:
        self.windows: list[int] = []

    async def mark_returned(self, windows: Sequence[int]) -> None:
        self.windows += windows


def hold(sale_id: str, *order_ids: str) -> Delivery:
    lines = [ReservedLine(order_id, "ann", 1) for order_id in order_ids]
    return Delivery(encode(OrdersReserved(v=1, sale=sale_id, epoch=7, at=1, deadline=9, orders=lines)), "m", redelivered=False)


async def handle(expiry: RecordedExpiry, *batch: Delivery, probes: RecordedProbes | None = None) -> list[tuple[int, str]]:
    """Handle a batch; returns (index, reason) of each poison."""

    async def run() -> Sequence[Poison | Publication]:
        return await PaymentTimeouts(expiry, probes or RecordedProbes(), Tracing(None))(batch)

    return [(poison.index, poison.reason) for poison in await run() if isinstance(poison, Poison)]


async def test_holds_are_expired_together_and_poison_is_reported() -> None:
    expiry = RecordedExpiry()
    cancelled = Delivery(encode(OrdersCancelled(v=1, sale="shoe", epoch=7, at=1, orders=[])), "m", redelivered=False)
    batch = [hold("shoe", "o1", "o2"), Delivery(b"?", "m", redelivered=False), hold("broken", "o3"), cancelled, hold("hat", "o4")]
    assert await handle(expiry, *batch) == [(1, "undecodable"), (2, "rejected"), (3, "unexpected_type")]
    assert expiry.calls == [{"shoe": ["o1", "o2"], "broken": ["o3"], "hat": ["o4"]}]


async def test_delivery_of_several_messages_is_expired_and_parked_once() -> None:
    expiry = RecordedExpiry()
    body = join([hold("shoe", "o1").body, b"?", hold("broken", "o2").body, hold("hat", "o3").body])
    assert await handle(expiry, Delivery(body, "m", redelivered=False)) == [(0, "undecodable")]
    assert expiry.calls == [{"shoe": ["o1"], "broken": ["o2"], "hat": ["o3"]}]


async def test_only_messages_of_a_broken_sale_are_parked() -> None:
    assert await handle(RecordedExpiry(), hold("broken", "o1"), hold("shoe", "o2"), hold("broken", "o3")) == [
        (0, "rejected"),
        (2, "rejected"),
    ]


async def test_batch_is_retried_while_redis_is_away_for_any_sale() -> None:
    probes = RecordedProbes()
    probe = Delivery(encode(WaitProbed(v=1, window=60, at=1)), "", redelivered=False)
    with pytest.raises(Retryable, match="away"):
        await handle(RecordedExpiry(), hold("shoe", "o1"), probe, hold("away", "o2"), hold("broken", "o3"), probes=probes)
    assert probes.windows == []


def test_orders_of_a_sale_are_expired_together_across_messages() -> None:
    holds = sort_batch([hold("shoe", "o1"), hold("hat", "o2"), hold("shoe", "o3", "o4")]).holds
    assert orders_by_sale(holds) == {"shoe": ["o1", "o3", "o4"], "hat": ["o2"]}


def test_order_named_by_two_messages_is_assigned_to_the_first() -> None:
    holds = sort_batch([hold("shoe", "o1", "o2"), hold("shoe", "o2", "o3"), hold("hat", "o1")]).holds
    o1, o2, o3 = (Expired(order_id, 1, 0) for order_id in ("o1", "o2", "o3"))
    pairs = expired_by_message(holds, {"shoe": Outcome([o1, o2, o3]), "hat": Outcome([])})
    assert [(message.index, expired) for message, expired in pairs] == [(0, [o1, o2]), (1, [o3]), (2, [])]


async def test_returned_probes_are_recorded_and_are_not_poison() -> None:
    probes = RecordedProbes()
    deliveries = [Delivery(encode(WaitProbed(v=1, window=window, at=1)), "", redelivered=False) for window in (60, 5, 60)]
    assert await handle(RecordedExpiry(), *deliveries, hold("shoe", "o1"), probes=probes) == []
    assert probes.windows == [5, 60]
