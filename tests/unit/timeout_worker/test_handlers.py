"""The handler of `payment.timeout`: holds are asked for by sale, what is no wait is poison."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from flashsale_consumer import Delivery, Poison, Publication
from flashsale_core.errors import Rejected, Retryable
from flashsale_core.messages import OrdersCancelled, OrdersReserved, ReservedLine, WaitProbed, encode, join
from flashsale_core.tracing import Tracing
from flashsale_timeout_worker.expiry import Expired, Expiry, Fault, Outcome
from flashsale_timeout_worker.handlers import OverdueWaits, orders_of, shares, sort
from flashsale_timeout_worker.waits import Waits


class Asked(Expiry):
    """Remembers what it was asked; the sale `broken` cannot be expired, the master of the sale `away` is away."""

    def __init__(self) -> None:
        self.calls: list[dict[str, list[str]]] = []

    async def expire(self, orders: Mapping[str, Sequence[str]], source: str) -> dict[str, Outcome]:
        assert source == "queue"
        self.calls.append({sale_id: list(order_ids) for sale_id, order_ids in orders.items()})
        faults: dict[str, Fault] = {"broken": Rejected("INVARIANT"), "away": Retryable("away")}
        return {sale_id: Outcome([], faults.get(sale_id)) for sale_id in orders}


class Homes(Waits):
    """Remembers which windows' probes came home."""

    def __init__(self) -> None:
        self.windows: list[int] = []

    async def came_home(self, windows: Sequence[int]) -> None:
        self.windows += windows


def wait(sale_id: str, *order_ids: str) -> Delivery:
    lines = [ReservedLine(order_id, "ann", 1) for order_id in order_ids]
    return Delivery(encode(OrdersReserved(v=1, sale=sale_id, epoch=7, at=1, deadline=9, orders=lines)), "m", redelivered=False)


def handle(asked: Asked, *batch: Delivery, homes: Homes | None = None) -> list[tuple[int, str]]:
    """(index, reason) of what is poison."""

    async def run() -> Sequence[Poison | Publication]:
        return await OverdueWaits(asked, homes or Homes(), Tracing(None))(batch)

    return [(poison.index, poison.reason) for poison in asyncio.run(run()) if isinstance(poison, Poison)]


def test_waits_are_expired_together_and_poison_is_named() -> None:
    asked = Asked()
    cancelled = Delivery(encode(OrdersCancelled(v=1, sale="shoe", epoch=7, at=1, orders=[])), "m", redelivered=False)
    batch = [wait("shoe", "o1", "o2"), Delivery(b"?", "m", redelivered=False), wait("broken", "o3"), cancelled, wait("hat", "o4")]
    assert handle(asked, *batch) == [(1, "undecodable"), (2, "rejected"), (3, "unexpected_type")]
    assert asked.calls == [{"shoe": ["o1", "o2"], "broken": ["o3"], "hat": ["o4"]}]


def test_a_delivery_of_several_waits_is_expired_line_by_line_and_parked_once() -> None:
    asked = Asked()
    body = join([wait("shoe", "o1").body, b"?", wait("broken", "o2").body, wait("hat", "o3").body])
    assert handle(asked, Delivery(body, "m", redelivered=False)) == [(0, "undecodable")]
    assert asked.calls == [{"shoe": ["o1"], "broken": ["o2"], "hat": ["o3"]}]


def test_every_message_that_names_a_broken_sale_is_parked_and_no_other() -> None:
    assert handle(Asked(), wait("broken", "o1"), wait("shoe", "o2"), wait("broken", "o3")) == [(0, "rejected"), (2, "rejected")]


def test_the_batch_comes_again_while_redis_is_away_for_any_of_it() -> None:
    homes = Homes()
    probe = Delivery(encode(WaitProbed(v=1, window=60, at=1)), "", redelivered=False)
    with pytest.raises(Retryable, match="away"):
        handle(Asked(), wait("shoe", "o1"), probe, wait("away", "o2"), wait("broken", "o3"), homes=homes)
    assert homes.windows == []


def test_the_orders_of_a_sale_are_asked_for_together_whichever_message_names_them() -> None:
    waits = sort([wait("shoe", "o1"), wait("hat", "o2"), wait("shoe", "o3", "o4")]).waits
    assert orders_of(waits) == {"shoe": ["o1", "o3", "o4"], "hat": ["o2"]}


def test_each_message_has_its_own_share_and_an_order_named_twice_is_the_firsts() -> None:
    waits = sort([wait("shoe", "o1", "o2"), wait("shoe", "o2", "o3"), wait("hat", "o1")]).waits
    one, two, three = (Expired(order_id, 1, 0) for order_id in ("o1", "o2", "o3"))
    found = shares(waits, {"shoe": Outcome([one, two, three]), "hat": Outcome([])})
    assert [(wait.index, expired) for wait, expired in found] == [(0, [one, two]), (1, [three]), (2, [])]


def test_probes_are_noted_and_are_no_poison() -> None:
    homes = Homes()
    probes = [Delivery(encode(WaitProbed(v=1, window=window, at=1)), "", redelivered=False) for window in (60, 5, 60)]
    assert handle(Asked(), *probes, wait("shoe", "o1"), homes=homes) == []
    assert homes.windows == [5, 60]
