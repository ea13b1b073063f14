"""What the ledger's rows say about incarnations and received entries."""

import time

import pytest

from flashsale_chaos.facts_reader import given_of, incarnations_of, received_lines, received_of
from flashsale_core.positions import Range
from tests.unit.chaos.rounds import Entries


def test_incarnation_that_never_opened_is_part_of_the_next() -> None:
    now = time.time()
    rows: list[dict[str, float | None]] = [
        {"incarnation": 1, "lost_entries": None, "fenced": now - 9, "opened": now - 8},
        {"incarnation": 2, "lost_entries": None, "fenced": now - 5, "opened": None},
        {"incarnation": 3, "lost_entries": 4, "fenced": now - 3, "opened": now - 1},
    ]
    first, third = incarnations_of(rows)
    assert (first.number, first.lost_entries, third.number, third.lost_entries) == (1, 0, 3, 4)
    assert (third.fenced, third.opened) == pytest.approx((time.monotonic() - 5, time.monotonic() - 1), abs=0.5)


def test_entry_that_came_too_late_is_no_part_of_the_history() -> None:
    lines = Entries().reserved("a").reserved("b").lines
    received = received_of([{"incarnation": 1, "from_seq": 1, "to_seq": 1}, {"incarnation": 1, "from_seq": 2, "to_seq": 2}])
    assert received == {1: [Range(1, 2)]}
    assert received_lines(lines, received) == lines[:2]


def test_incarnation_was_given_what_anybody_knew_when_the_next_began() -> None:
    first_seqs = {1: 1, 2: 1_000_005, 3: 2_000_004, 4: 3_000_007}
    assert given_of(first_seqs) == {
        1: Range(1, 5),
        2: Range(1_000_005, 1_000_004),
        3: Range(2_000_004, 2_000_007),
        4: Range(3_000_007, 3_000_006),
    }
