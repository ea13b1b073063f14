"""Which holds are broken when units were sold twice."""

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from flashsale_recovery.rebuild.deficit import Hold, excess, holds_to_break

STOPPED_MS = 5_000
HOLDS = st.builds(Hold, st.uuids().map(str), st.just("ann"), st.integers(1, 4), st.integers(0, 10_000), st.integers(0, 5_000))


def names(holds: list[Hold]) -> list[str]:
    return [hold.order_id for hold in holds]


def test_longest_overdue_are_broken_first_and_then_the_youngest() -> None:
    holds = [
        Hold("older", "ann", 1, 9_000, 1_000),
        Hold("younger", "bob", 1, 9_500, 1_500),
        Hold("overdue", "cem", 1, 4_000, 400),
        Hold("longest overdue", "dan", 1, 3_000, 300),
    ]
    assert names(holds_to_break(holds, 3, STOPPED_MS)) == ["longest overdue", "overdue", "younger"]


def test_holds_of_one_moment_are_broken_in_the_order_of_their_ids() -> None:
    holds = [Hold(name, "ann", 1, 9_000, 1_000) for name in "cab"]
    assert names(holds_to_break(holds, 2, STOPPED_MS)) == ["a", "b"]


def test_all_holds_are_broken_if_they_are_too_few() -> None:
    assert names(holds_to_break([Hold("a", "ann", 2, 9_000, 1_000)], 5, STOPPED_MS)) == ["a"]
    assert (excess(10, 2, 12), excess(10, 2, 8), excess(10, 3, 8)) == (4, 0, 1)


@given(st.lists(HOLDS, max_size=12), st.integers(1, 12))
def test_choice_is_the_shortest_prefix_in_any_order_of_reading(holds: list[Hold], units: int) -> None:
    chosen = holds_to_break(holds, units, STOPPED_MS)
    every = holds_to_break(holds, 10**9, STOPPED_MS)
    assert chosen == every[: len(chosen)]
    sums = [sum(hold.quantity for hold in every[:count]) for count in range(len(every) + 1)]
    assert len(chosen) == next((count for count, so_far in enumerate(sums) if so_far >= units), len(every))
    # A page at a time, as the survey reads them, and some of them twice.
    broken: list[Hold] = []
    for start in range(0, len(holds), 3):
        broken = holds_to_break(chain(broken, holds[::-1][max(0, start - 2) : start + 3]), units, STOPPED_MS)
    assert broken == chosen


def test_broken_hold_never_adds_to_what_was_held_at_once() -> None:
    assert Hold("a", "ann", 1, 4_000, 400).released_ms(STOPPED_MS) == 4_000
    assert Hold("a", "ann", 1, 9_000, 400).released_ms(STOPPED_MS) == 400
