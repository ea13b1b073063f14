"""The handler of `payment.timeout`: holds are asked for by sale, what is no wait is poison."""

import asyncio
from collections.abc import Sequence

from flashsale_consumer import Delivery, Poison
from flashsale_core.errors import Rejected
from flashsale_core.messages import OrdersCancelled, OrdersReserved, ReservedLine, WaitProbed, encode, join
from flashsale_core.tracing import Tracing
from flashsale_timeout_worker.expiry import Expired, Expiry
from flashsale_timeout_worker.handlers import OverdueWaits
from flashsale_timeout_worker.waits import Waits


class Asked(Expiry):
    """Remembers what it was asked; the sale `broken` cannot be expired."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str], str]] = []

    async def expire(self, sale_id: str, order_ids: Sequence[str], source: str) -> list[Expired]:
        self.calls.append((sale_id, list(order_ids), source))
        if sale_id == "broken":
            raise Rejected("INVARIANT")
        return []


class Homes(Waits):
    """Remembers which windows' probes came home."""

    def __init__(self) -> None:
        self.windows: list[int] = []

    async def came_home(self, windows: Sequence[int]) -> None:
        self.windows += windows


def wait(sale_id: str, *order_ids: str) -> Delivery:
    lines = [ReservedLine(order_id, "ann", 1) for order_id in order_ids]
    return Delivery(encode(OrdersReserved(v=1, sale=sale_id, epoch=7, at=1, deadline=9, orders=lines)), "m", redelivered=False)


def test_waits_are_expired_and_poison_is_named() -> None:
    asked = Asked()
    cancelled = encode(OrdersCancelled(v=1, sale="shoe", epoch=7, at=1, orders=[]))
    batch = [wait("shoe", "o1", "o2"), Delivery(b"?", "m", redelivered=False), wait("broken", "o3"),
             Delivery(cancelled, "m", redelivered=False), wait("hat", "o4")]  # fmt: skip

    async def handle() -> Sequence[Poison]:
        return await OverdueWaits(asked, Homes(), Tracing(None))(batch)

    poisons = asyncio.run(handle())
    assert [(poison.index, poison.reason) for poison in poisons] == [(1, "undecodable"), (2, "rejected"), (3, "unexpected_type")]
    assert asked.calls == [("shoe", ["o1", "o2"], "queue"), ("broken", ["o3"], "queue"), ("hat", ["o4"], "queue")]


def test_a_delivery_of_several_waits_is_expired_line_by_line_and_parked_once() -> None:
    asked = Asked()
    body = join([wait("shoe", "o1").body, b"?", wait("broken", "o2").body, wait("hat", "o3").body])

    async def handle() -> Sequence[Poison]:
        return await OverdueWaits(asked, Homes(), Tracing(None))([Delivery(body, "m", redelivered=False)])

    assert [(poison.index, poison.reason) for poison in asyncio.run(handle())] == [(0, "undecodable")]
    assert [sale_id for sale_id, _, _ in asked.calls] == ["shoe", "broken", "hat"]


def test_probes_are_noted_and_are_no_poison() -> None:
    homes = Homes()
    probes = [Delivery(encode(WaitProbed(v=1, window=window, at=1)), "", redelivered=False) for window in (60, 5, 60)]

    async def handle() -> Sequence[Poison]:
        return await OverdueWaits(Asked(), homes, Tracing(None))([*probes, wait("shoe", "o1")])

    assert asyncio.run(handle()) == []
    assert homes.windows == [5, 60]
