"""Bounds for sums that were read while a sale moved, and exact values for one that did not."""

from dataclasses import replace

import pytest

from flashsale_audit.differences import Kind
from flashsale_audit.facts import Counters, OrderTotals
from flashsale_audit.motion import Motion, compare_sums
from flashsale_core.orders import State

STILL = Counters("tele", 1, total=10, available=5, reserved=2, sold=3, orders=4, max_per_user=2)
# One order of at most two units came, and one unit was paid.
MOVED = replace(STILL, available=3, reserved=3, sold=4, orders=5)


def kinds(motion: Motion, reserved: int, sold: int) -> list[Kind]:
    sums = {State.RESERVED: OrderTotals(1, reserved), State.PAID: OrderTotals(1, sold, sold)}
    return [difference.kind for difference in compare_sums(motion, sums)]


def test_sale_that_did_not_move_has_exactly_its_counters() -> None:
    assert Motion(STILL, STILL).still
    assert kinds(Motion(STILL, STILL), 2, 3) == []


@pytest.mark.parametrize(
    ("reserved", "sold", "expected"),
    [
        (1, 3, [Kind.RESERVED_UNITS]),
        (3, 3, [Kind.RESERVED_UNITS]),
        (2, 2, [Kind.SOLD_UNITS]),
        (2, 9, [Kind.SOLD_UNITS, Kind.OVERSOLD]),
    ],
)
def test_difference_at_rest_is_named(reserved: int, sold: int, expected: list[Kind]) -> None:
    assert kinds(Motion(STILL, STILL), reserved, sold) == expected


@pytest.mark.parametrize(("reserved", "sold"), [(1, 3), (2, 4), (4, 3), (4, 4)])
def test_sums_that_motion_explains_are_no_difference(reserved: int, sold: int) -> None:
    assert not Motion(STILL, MOVED).still
    assert kinds(Motion(STILL, MOVED), reserved, sold) == []


@pytest.mark.parametrize(
    ("reserved", "sold", "expected"), [(0, 3, [Kind.RESERVED_UNITS]), (5, 3, [Kind.RESERVED_UNITS]), (2, 5, [Kind.SOLD_UNITS])]
)
def test_sums_beyond_what_moved_are_named(reserved: int, sold: int, expected: list[Kind]) -> None:
    assert kinds(Motion(STILL, MOVED), reserved, sold) == expected


def test_units_that_were_sold_again_in_between_are_not_oversold() -> None:
    full = replace(STILL, available=0, reserved=7, sold=3)
    assert kinds(Motion(full, replace(full, orders=6)), 10, 3) == []


def test_another_stock_makes_two_looks_incomparable() -> None:
    assert not Motion(STILL, replace(STILL, total=11, available=6)).same_sale


def test_limit_that_was_raised_in_between_bounds_what_was_reserved() -> None:
    assert Motion(STILL, replace(STILL, orders=5, max_per_user=3)).reserved_since == 3
    assert Motion(STILL, replace(STILL, orders=5, max_per_user=0)).reserved_since == 10
