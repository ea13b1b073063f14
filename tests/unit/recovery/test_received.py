import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale_recovery.received import Range, count, missing


@pytest.mark.parametrize(
    ("received", "holes"),
    [
        ([], [(1, 9)]),
        ([(1, 9)], []),
        ([(1, 3), (7, 8)], [(4, 6), (9, 9)]),
        ([(7, 20), (1, 3), (2, 4)], [(5, 6)]),
        ([(12, 20)], [(1, 9)]),
    ],
)
def test_holes_are_positions_that_no_range_contains(received: list[Range], holes: list[Range]) -> None:
    assert missing(received, 1, 9) == holes


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 8)).map(lambda pair: (pair[0], pair[0] + pair[1]))), st.integers(1, 40))
def test_holes_and_ranges_contain_each_position_once(received: list[Range], last: int) -> None:
    holes = missing(received, 1, last)
    covered = {position for start, end in received for position in range(start, end + 1)}
    expected = set(range(1, last + 1)) - covered
    assert {position for start, end in holes for position in range(start, end + 1)} == expected
    assert count(holes) == len(expected)
