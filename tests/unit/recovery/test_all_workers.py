"""When markers prove that no consumer of the queue still has an older message."""

import pytest

from flashsale_recovery.all_workers import QueueLook


@pytest.mark.parametrize(
    ("look", "since", "is_proof"),
    [
        (QueueLook(0, 2, frozenset("ab")), "ab", True),
        # One has written no marker since: it may be frozen with older messages.
        (QueueLook(0, 2, frozenset("ab")), "a", False),
        # One came after the look, and what the one that it replaced had may be with the other.
        (QueueLook(0, 2, frozenset("ab")), "ac", False),
        (QueueLook(0, 2, frozenset("a")), "ab", False),
        # A message was with nobody, and may be with a consumer that came and went.
        (QueueLook(1, 2, frozenset("ab")), "ab", False),
        # One ended before the look, and its messages were returned.
        (QueueLook(0, 1, frozenset("ab")), "a", True),
        (QueueLook(0, 0, frozenset("ab")), "", True),
    ],
)
def test_all_consumers_must_write_a_marker_before_and_after_a_look(look: QueueLook, since: str, is_proof: bool) -> None:
    assert look.is_proof(frozenset(since)) is is_proof
