"""A buyer who has more units than orders is reported although the buyer goes on ordering, and never because of an order of the motion."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from flashsale_audit.buyer_audit import BuyerAudit
from flashsale_audit.buyer_proof import BuyerProof
from flashsale_audit.differences import Findings, Kind
from flashsale_audit.look import Look
from flashsale_audit.records import PageRecord
from flashsale_audit.repeats import Repeats
from flashsale_audit.skipped import Skipped


@dataclass
class World:
    """Both stores. After each reading of the ledger, the next of `arriving` orders is written to Redis and to the ledger."""

    units: dict[str, int]
    redis_orders: dict[str, str]
    """The user of each order; each has 1 unit and is held."""
    ledger_orders: dict[str, str]
    arriving: list[dict[str, str]] = field(default_factory=list)
    after_look: list[dict[str, str]] = field(default_factory=list)
    """After each look, the next of these."""
    caught_up: bool = True
    has_holes: bool = False
    passes: int = 0
    reserved_at: dict[str, int] = field(default_factory=dict)
    """By Redis' clock, which stands at 0 when it looks."""

    @property
    def buyers(self) -> "World":
        return self

    async def received(self) -> bool:
        return self.caught_up

    async def orders(self, sale_id: str, epoch: int, users: Collection[str]) -> dict[str, dict[str, int]]:
        orders = self.ledger_orders.items()
        listed = {user: {order_id: self.reserved_at.get(order_id, 0) for order_id, name in orders if name == user} for user in users}
        self.write(self.arriving)
        return listed

    def write(self, arriving: list[dict[str, str]]) -> None:
        for order_id, user in (arriving.pop(0) if arriving else {}).items():
            self.redis_orders[order_id] = self.ledger_orders[order_id] = user
            self.units[user] = self.units.get(user, 0) + 1

    async def look(self, sale_id: str, order_ids: Sequence[str], user_ids: Sequence[str]) -> Look:
        records = {name: PageRecord("R", self.redis_orders[name], 1, 5_000) for name in order_ids if name in self.redis_orders}
        look = Look(0, "", 0, None, records=records, units={user: self.units.get(user, 0) for user in user_ids})
        self.write(self.after_look)
        return look

    async def user_pages(self, sale_id: str, users: Collection[str]) -> AsyncIterator[dict[bytes, str]]:
        self.passes += 1
        yield {order_id.encode(): user for order_id, user in self.redis_orders.items()}


async def proven(world: World, *users: str, repeats: Repeats | None = None) -> list[str]:
    async def pace() -> None:
        pass

    stores, findings = cast(Any, world), Findings()
    await BuyerProof(BuyerAudit(stores, "lamp", findings, pace, Skipped()), stores, stores, 1, repeats or Repeats()).run(users)
    return [sample.subject for sample in findings.samples.get(Kind.BUYER_UNITS, [])]


def same(orders: Mapping[str, str], units: dict[str, int], **more: Any) -> World:
    return World(units, dict(orders), dict(orders), **more)


@pytest.mark.parametrize("units", [0, 3])
async def test_buyer_with_other_units_than_orders_is_reported(units: int) -> None:
    assert await proven(same({"a": "ann", "b": "ann", "c": "bob"}, {"ann": units, "bob": 1}), "ann", "bob") == ["lamp ann"]


async def test_invented_buyer_is_reported() -> None:
    assert await proven(same({"a": "ann"}, {"ann": 1, "eve": 1}), "eve") == ["lamp eve"]


@pytest.mark.parametrize("fault", [0, 1])
async def test_buyer_who_goes_on_ordering_is_reported_only_with_a_fault(fault: int) -> None:
    arriving = [{"b": "ann"}, {"c": "ann"}, {"d": "ann"}, {}, {"e": "ann"}]
    assert await proven(same({"a": "ann"}, {"ann": 1 + fault}, arriving=arriving), "ann") == ["lamp ann"] * fault


@pytest.mark.parametrize(("fault", "at_ms", "reported"), [(1, 1, ["lamp ann"]), (1, 0, []), (0, 1, [])])
async def test_buyer_who_orders_after_each_look_is_reported_by_two_looks(fault: int, at_ms: int, reported: list[str]) -> None:
    world = same({"a": "ann"}, {"ann": 1 + fault}, after_look=[{f"b{number}": "ann"} for number in range(20)])
    world.reserved_at = {f"b{number}": at_ms for number in range(20)}
    assert await proven(world, "ann") == reported


async def test_order_with_a_time_of_a_clock_that_was_set_back_is_no_fault() -> None:
    world = same({"a": "ann"}, {"ann": 1}, arriving=[{"b": "ann"}], reserved_at={"b": 1_000})
    assert await proven(world, "ann") == []


async def test_order_that_the_ledger_lost_is_no_fault_of_its_buyer() -> None:
    world = World({"ann": 2}, {"a": "ann", "b": "ann"}, {"a": "ann"})
    assert (await proven(world, "ann"), world.passes) == ([], 1)


async def test_nothing_is_proven_while_entries_are_missing() -> None:
    orders = {"a": "ann"}
    assert await proven(same(orders, {"ann": 2}, caught_up=False), "ann") == []
    hidden = World({"ann": 2}, {"a": "ann", "b": "ann"}, {"a": "ann"}, arriving=[{}, {"c": "ann"}, {}], has_holes=True)
    assert await proven(hidden, "ann") == []


async def test_orders_in_redis_are_read_only_if_something_is_left_to_report() -> None:
    world = same({"a": "ann"}, {"ann": 1})
    assert (await proven(world, "ann"), world.passes) == ([], 0)


async def test_orders_are_read_again_only_for_another_difference() -> None:
    world, repeats, passes = same({"a": "ann"}, {"ann": 2}), Repeats(), []
    for units in (2, 2, 3):
        world.units["ann"] = units
        assert await proven(world, "ann", repeats=repeats) == ["lamp ann"]
        passes.append(world.passes)
    assert passes == [1, 1, 2]


async def test_buyer_who_was_right_for_a_round_is_proven_by_another_pass() -> None:
    world, repeats = same({"a": "ann"}, {"ann": 2}), Repeats()
    for users, passes in (("ann",), 1), ((), 1), (("ann",), 2):
        await proven(world, *users, repeats=repeats)
        assert world.passes == passes


async def test_order_that_appears_beside_a_proven_difference_is_no_fault_of_its_buyer() -> None:
    world, repeats = same({"a": "ann"}, {"ann": 2}), Repeats()
    assert await proven(world, "ann", repeats=repeats) == ["lamp ann"]
    world.units["ann"], world.redis_orders["hidden"] = 3, "ann"
    assert await proven(world, "ann", repeats=repeats) == []
