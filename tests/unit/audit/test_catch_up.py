"""A difference to the ledger counts when the ledger has received everything that Redis had before."""

from collections.abc import Mapping
from unittest.mock import Mock

import pytest

from flashsale_audit.audit_all import Audit, Options
from flashsale_audit.catch_up import CatchUp, History
from flashsale_audit.differences import Kind
from flashsale_audit.skipped import ShardNotOpenError
from flashsale_core.positions import Range

FIRST = History(3, 1)
LATER = History(3, 2)


class Stores:
    """What fences and ledger contain; each query for entries gets the next of `answers`."""

    def __init__(self, newest: Mapping[History, int], *answers: Mapping[History, list[Range]]) -> None:
        self.newest = newest
        self.answers = list(answers)
        self.asked: list[dict[History, int]] = []

    async def positions(self) -> Mapping[History, int]:
        return self.newest

    async def first_positions(self) -> Mapping[History, int]:
        return {LATER: 1_000_000}

    async def received(self, above: Mapping[History, int]) -> Mapping[History, list[Range]]:
        self.asked.append(dict(above))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def rounds(catch_up: CatchUp) -> int:
    return len([None async for _ in catch_up.rounds()])


async def test_complete_ledger_is_compared_once() -> None:
    stores = Stores({FIRST: 9}, {FIRST: [Range(4, 12), Range(1, 3)]})
    assert (await rounds(CatchUp(stores, stores)), stores.asked) == (1, [{FIRST: 0}])


async def test_ledger_is_waited_for_and_then_compared() -> None:
    stores = Stores({FIRST: 9}, {FIRST: [Range(1, 3), Range(5, 9)]}, {FIRST: [Range(4, 9)]})
    catch_up = CatchUp(stores, stores)
    assert (await rounds(catch_up), catch_up.behind) == (1, {})
    assert stores.asked == [{FIRST: 0}, {FIRST: 3}]


async def test_young_hole_keeps_everything_from_being_compared() -> None:
    stores = Stores({FIRST: 9}, {FIRST: [Range(1, 3), Range(5, 9)]})
    catch_up = CatchUp(stores, stores, wait_seconds=0)
    assert await rounds(catch_up) == 0
    (difference,) = catch_up.behind.values()
    assert (difference.kind, difference.subject, difference.detail.split(";")[0]) == (
        Kind.LEDGER_BEHIND,
        "shard 3",
        "1 entries (4) have not reached the ledger",
    )


async def test_entry_that_is_late_for_less_than_the_lag_is_waited_for() -> None:
    """A gateway died with it, and another one publishes it later, while the ledger receives what came after it."""
    late = {FIRST: [Range(1, 3), Range(5, 9)]}
    stores = Stores({FIRST: 9}, late, late, late, {FIRST: [Range(4, 9)]})
    catch_up = CatchUp(stores, stores, wait_seconds=20, lag_seconds=10)
    assert (await rounds(catch_up), catch_up.by_position, catch_up.behind) == (1, True, {})
    assert await catch_up.holes() == []


async def test_ledger_that_is_behind_is_not_waited_for_as_long_again(monkeypatch: pytest.MonkeyPatch) -> None:
    stores = Stores({FIRST: 9}, {FIRST: [Range(1, 8)]})
    catch_up = CatchUp(stores, stores, wait_seconds=0.5)
    monkeypatch.setattr("flashsale_audit.catch_up.WAIT_SECONDS", 0)
    assert [await rounds(catch_up), len(stores.asked) > 1] == [0, True]
    stores.asked.clear()
    assert [await rounds(catch_up), len(stores.asked)] == [0, 1]
    stores.answers = [{FIRST: [Range(9, 9)]}]
    assert [await rounds(catch_up), catch_up.behind] == [1, {}]


def test_wait_of_an_audit_is_longer_than_its_lag() -> None:
    catch_up = Audit(Mock(), Mock(), Options(lag_seconds=30)).catch_up
    assert (catch_up.lag_seconds, catch_up.wait_seconds) == (30, 32)


async def test_later_incarnation_needs_only_its_own_entries() -> None:
    stores = Stores({LATER: 1_000_001}, {LATER: [Range(1_000_000, 1_000_001)]})
    assert (await rounds(CatchUp(stores, stores)), stores.asked) == (1, [{LATER: 999_999}])


async def test_nothing_is_compared_while_a_shard_is_not_open() -> None:
    class Draining(Stores):
        async def positions(self) -> Mapping[History, int]:
            raise ShardNotOpenError(3, "draining")

    catch_up = CatchUp(Draining({}, {}), Stores({}, {}))
    assert await rounds(catch_up) == 0
    assert catch_up.skipped.reasons == {"ledger": "nothing that differs is compared with it, because shard 3 is not open (draining)"}


async def test_overtaken_hole_needs_differences_that_last() -> None:
    stores = Stores({FIRST: 9}, {FIRST: [Range(1, 3), Range(5, 9)]})
    catch_up = CatchUp(stores, stores, lag_seconds=0.05)
    assert await rounds(catch_up) > 1
    assert (catch_up.by_position, catch_up.behind) == (False, {})
    (hole,) = await catch_up.holes()
    assert (hole.kind, hole.detail) == (Kind.LEDGER_HOLE, "the ledger has later entries, but not 1 entries (4) of incarnation 1")


async def test_newest_entry_that_is_missing_is_no_hole() -> None:
    stores = Stores({FIRST: 9}, {FIRST: [Range(1, 3), Range(5, 8)]})
    catch_up = CatchUp(stores, stores, wait_seconds=0.3, lag_seconds=0.05)
    assert await rounds(catch_up) == 0
    (difference,) = catch_up.behind.values()
    assert (difference.kind, difference.detail.split(";")[0]) == (Kind.LEDGER_BEHIND, "1 entries (9) have not reached the ledger")


async def test_hole_that_closes_while_it_is_young_is_not_named() -> None:
    stores = Stores({FIRST: 9}, {FIRST: [Range(1, 3), Range(5, 9)]}, {FIRST: [Range(4, 9)]})
    assert await CatchUp(stores, stores).holes() == []


async def test_hole_that_was_closed_since_it_was_seen_is_not_named() -> None:
    overtaken = {FIRST: [Range(1, 3), Range(5, 9)]}
    stores = Stores({FIRST: 9}, overtaken)
    catch_up = CatchUp(stores, stores, lag_seconds=0.05)
    assert await rounds(catch_up) > 1
    stores.answers = [{FIRST: [Range(4, 4), Range(5, 9)]}]
    assert await catch_up.holes() == []
