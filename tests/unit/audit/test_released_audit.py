"""A wrong number of released orders is reported although the buyer's orders go on being released, and never because of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from flashsale_audit.differences import Findings, Kind
from flashsale_audit.facts import Counted, Released
from flashsale_audit.released_audit import TRIES, ReleasedAudit


@dataclass
class World:
    """Both stores. After each reading of one of them, the next numbers of orders of `ann` are released."""

    counts: dict[str, int]
    """By user, in Redis."""
    history: dict[str, int]
    after_look: list[int] = field(default_factory=list)
    after_reading: list[int] = field(default_factory=list)
    caught_up: bool = True
    has_holes: bool = False
    in_the_millisecond: bool = False
    """Whether orders are released in the millisecond of each look, so that the ledger cannot say what it had then."""
    at_looks: list[dict[str, int]] = field(default_factory=list)
    """What the ledger had to have at each look, whose number is its time."""
    read: list[list[str]] = field(default_factory=list)
    """Whose rows were read, each time."""

    @property
    def as_of(self) -> "World":
        return self

    async def received(self) -> bool:
        return self.caught_up

    async def released(self, sale_id: str, epoch: int, moments: Mapping[str, int]) -> dict[str, Released]:
        self.read.append(sorted(moments))
        rows = {}
        for user, moment in moments.items():
            count, at_look = self.history.get(user, 0), self.at_looks[moment].get(user, 0)
            rows[user] = Released(count, count, None if self.in_the_millisecond else at_look)
        self.release(self.after_reading)
        return rows

    async def buyer_counts(self, sale_id: str, names: Sequence[str]) -> dict[str, Counted]:
        counts = {name: Counted(self.counts.get(name.removeprefix("#"), 0), len(self.at_looks)) for name in names}
        self.at_looks.append(dict(self.history))
        self.release(self.after_look)
        return counts

    def release(self, numbers: list[int]) -> None:
        number = numbers.pop(0) if numbers else 0
        self.counts["ann"], self.history["ann"] = self.counts.get("ann", 0) + number, self.history.get("ann", 0) + number


async def reported(world: World) -> list[str]:
    async def pace() -> None:
        pass

    stores, findings = cast(Any, world), Findings()
    await ReleasedAudit(stores, stores, stores, "lamp", 1, findings, pace).run(["ann", "bob"])
    return [sample.subject for sample in findings.samples.get(Kind.BUYER_RELEASED, [])]


@pytest.mark.parametrize(("count", "subjects"), [(0, ["lamp bob"]), (1, []), (2, ["lamp bob"])])
async def test_count_of_a_buyer_at_rest_is_reported_if_it_is_wrong(count: int, subjects: list[str]) -> None:
    assert await reported(World({"ann": 3, "bob": count}, {"ann": 3, "bob": 1})) == subjects


@pytest.mark.parametrize(("fault", "subjects"), [(-1, ["lamp ann"]), (0, []), (1, ["lamp ann"])])
async def test_buyer_whose_orders_are_released_meanwhile_is_reported_only_with_a_fault(fault: int, subjects: list[str]) -> None:
    world = World({"ann": 3 + fault, "bob": 1}, {"ann": 3, "bob": 1}, after_look=[2, 1], after_reading=[1, 1])
    assert await reported(world) == subjects


async def test_buyer_who_never_rests_is_left_to_the_next_round() -> None:
    world = World({"ann": 4, "bob": 1}, {"ann": 3, "bob": 1}, after_look=[1] * (TRIES + 1))
    assert (await reported(world), await reported(world)) == ([], ["lamp ann"])


async def test_buyer_who_never_rests_and_is_right_is_read_once() -> None:
    world = World({"ann": 3, "bob": 1}, {"ann": 3, "bob": 1}, after_look=[1] * (TRIES + 1))
    assert (await reported(world), world.read) == ([], [["ann", "bob"]])


async def test_buyer_whose_orders_are_released_in_the_millisecond_of_the_look_is_read_again() -> None:
    world = World({"ann": 3, "bob": 1}, {"ann": 3, "bob": 1}, after_look=[1, 1], in_the_millisecond=True)
    assert (await reported(world), world.read) == ([], [["ann", "bob"], ["ann"], ["ann"]])


@pytest.mark.parametrize("lacking", [{"caught_up": False}, {"has_holes": True}])
async def test_nobody_is_reported_while_the_ledger_lacks_entries(lacking: dict[str, Any]) -> None:
    assert await reported(World({"ann": 3, "bob": 2}, {"ann": 3, "bob": 1}, **lacking)) == []
