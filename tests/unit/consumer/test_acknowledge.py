"""`multiple` must acknowledge exactly the messages that were processed."""

import pytest

from flashsale_consumer.consumer import _refuse_gap, _SessionLostError


def test_tags_that_follow_the_acknowledged_ones_pass() -> None:
    _refuse_gap(0, [1, 2, 3])
    _refuse_gap(3, [4])


@pytest.mark.parametrize("tags", [[2], [1, 3], [2, 1], [None]])
def test_a_gap_ends_the_session(tags: list[int | None]) -> None:
    with pytest.raises(_SessionLostError):
        _refuse_gap(0, tags)
