"""Ranges against sets of numbers."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from flashsale_core.positions import Range, contiguous_to, count_missing, holes, merge, ranges_of

NUMBERS = st.integers(0, 40)
RANGES = st.lists(st.builds(lambda first, size: Range(first, first + size), NUMBERS, st.integers(0, 8)), max_size=12)


def numbers(ranges: list[Range]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


@given(RANGES)
def test_merged_ranges_hold_the_same_numbers_and_never_touch(ranges: list[Range]) -> None:
    merged = merge(ranges)
    assert numbers(merged) == numbers(ranges)
    assert all(left.last + 1 < right.first for left, right in pairwise(merged))
    assert sum(part.size for part in merged) == len(numbers(ranges))


@given(st.lists(NUMBERS))
def test_ranges_of_numbers_hold_exactly_these(given_numbers: list[int]) -> None:
    assert numbers(ranges_of(given_numbers)) == set(given_numbers)
    assert ranges_of(given_numbers) == merge(ranges_of(given_numbers))


@given(RANGES, NUMBERS, NUMBERS)
def test_holes_are_the_numbers_that_no_range_holds(ranges: list[Range], first: int, last: int) -> None:
    missing = set(range(first, last + 1)) - numbers(ranges)
    assert numbers(holes(ranges, first, last)) == missing
    assert holes(ranges, first, last) == ranges_of(missing)
    assert count_missing(ranges, first, last) == len(missing)


@given(RANGES, NUMBERS)
def test_contiguous_end_is_just_before_the_first_hole(ranges: list[Range], first: int) -> None:
    expected = first - 1
    while expected + 1 in numbers(ranges):
        expected += 1
    assert contiguous_to(ranges, first) == expected


def test_nothing_received_is_one_hole() -> None:
    assert (merge([]), holes([], 3, 9), contiguous_to([], 3), holes([], 9, 3)) == ([], [Range(3, 9)], 2, [])
