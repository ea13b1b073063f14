"""Which sale of a name is the present one when ledger and Redis differ."""

from dataclasses import replace

import pytest

from flashsale_recovery.rebuild.definitions import Present, present_sale
from flashsale_recovery.rebuild.facts import Definition, definition_in_redis

SALE = Definition("iphone", 1_000, "shop", 3, 2_000, total=10, hold_seconds=60)
NEWER = replace(SALE, generation=4, changed_ms=3_000, total=12)


def present(definition: Definition, **facts: int) -> Present:
    return Present(definition, **{"in_redis": True, "clears_redis": False, "lacks_definition": False, "lacks_end": False, **facts})  # type: ignore[arg-type]


def test_sale_that_redis_lost_is_the_ledgers() -> None:
    assert present_sale(SALE, None) == present(SALE, in_redis=False)


def test_sale_that_the_ledger_lacks_is_announced_again() -> None:
    assert present_sale(None, SALE) == present(SALE, lacks_definition=True)
    closed = replace(SALE, state="closed", closed_ms=9_000)
    assert present_sale(None, closed) == present(closed, lacks_definition=True, lacks_end=True)


def test_highest_epoch_is_the_present_sale() -> None:
    later = replace(SALE, epoch=5_000, generation=1)
    assert present_sale(later, SALE) == present(later, in_redis=False, clears_redis=True)
    assert present_sale(SALE, later) == present(later, lacks_definition=True)


@pytest.mark.parametrize("ledger_is_newer", [True, False])
def test_later_definition_of_one_sale_counts(ledger_is_newer: bool) -> None:
    ledger, redis = (NEWER, SALE) if ledger_is_newer else (SALE, NEWER)
    expected = present(NEWER) if ledger_is_newer else present(NEWER, lacks_definition=True, announced_units=SALE.total)
    assert present_sale(ledger, redis) == expected


def test_sale_that_ended_stays_ended_whoever_knows_it() -> None:
    closed = replace(SALE, state="closed", closed_ms=9_000)
    assert present_sale(closed, NEWER) == present(
        replace(NEWER, state="closed", closed_ms=9_000), lacks_definition=True, announced_units=closed.total
    )
    assert present_sale(NEWER, closed) == present(replace(NEWER, state="closed", closed_ms=9_000), lacks_end=True)


def test_removed_sale_is_a_tombstone_on_both_sides() -> None:
    removed, tombstone = (
        replace(SALE, state="removed", removed_ms=9_000),
        Definition("iphone", 1_000, "shop", SALE.generation + 1, state="removed", removed_ms=9_000),
    )
    # The ledger may lack the last definition, and the next sale of the name goes on from its generation.
    last = replace(removed, generation=SALE.generation + 1)
    assert present_sale(removed, SALE) == present(removed, clears_redis=True)
    assert present_sale(removed, tombstone) == present(last)
    assert present_sale(SALE, tombstone) == present(last, lacks_end=True)
    assert present_sale(None, tombstone) == present(tombstone, lacks_end=True)


def test_fields_of_a_hash_are_its_definition() -> None:
    fields = {
        "total": "12",
        "epoch": "1000",
        "owner": "7",
        "state": "paused",
        "generation": "2",
        "oversold": "2",
        "ends_ms": "9",
        "terms": "?",
    }
    assert definition_in_redis("iphone", fields) == Definition("iphone", 1_000, "7", 2, state="paused", total=10, ends_ms=9)
    tombstone = {"removed_epoch": "1000", "removed_ms": "9", "removed_owner": "7"}
    assert definition_in_redis("iphone", tombstone) == Definition("iphone", 1_000, "7", state="removed", removed_ms=9)
    assert definition_in_redis("iphone", {"limits_released": "1"}) is None
    with pytest.raises(ValueError, match="many"):
        definition_in_redis("iphone", {"total": "many", "epoch": "1"})
