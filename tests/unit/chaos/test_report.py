"""A report can be replayed, and shows what matters first to whoever reads it."""

from typing import Any

import pytest

from flashsale_chaos.report import Broken, Report, schedule_in, summary, to_json
from flashsale_chaos.schedule import Schedule, make

SCHEDULE = make(5, 30)
SHRUNK = Schedule(5, [SCHEDULE.rounds[0][:1]])


def test_report_replays_its_schedule() -> None:
    assert schedule_in(to_json(Report(SCHEDULE))) == SCHEDULE


def test_report_replays_the_shrunk_schedule_if_there_is_one() -> None:
    assert schedule_in(to_json(Report(SCHEDULE, shrunk=SHRUNK))) == SHRUNK


def test_what_impostors_wrong_payments_and_returns_came_to_is_shown() -> None:
    lines = list(summary(Report(SCHEDULE, impostors_refused=1200, wrong_amounts=3, returns=2)))
    assert "1,200 impostors refused, 3 wrong amounts to be refunded, 2 orders returned" in lines


def test_violation_is_shown_with_seed_round_and_faults() -> None:
    failing = SCHEDULE.rounds[1][:1]
    report = Report(SCHEDULE, seed=5, violations=[Broken(2, "never oversold", "11 of 10")], failing=failing)
    lines = list(summary(report))
    assert lines[0].startswith("seed 5: ")
    assert "VIOLATION in round 2: never oversold: 11 of 10" in lines
    assert any(failing[0].target in line for line in lines)
    assert (report.is_clean, report.passed) == (False, False)


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({}, []),
        # What one machine does not allow, or one moment, is left out.
        ({"skipped": {"clock.jump": "no compiler"}, "impossible": ["7 at 1.00 s: Redis is dead"]}, []),
        ({"ended": ["keeper ended by itself"]}, ["FAILED: keeper ended by itself"]),
        ({"faults": 0}, ["FAILED: no fault was injected"]),
        ({"orders": 0}, ["FAILED: no order was accepted"]),
    ],
)
def test_run_fails_if_something_ended_by_itself_or_nothing_was_tried(changes: dict[str, Any], failed: list[str]) -> None:
    report = Report(**{"schedule": SCHEDULE, "faults": 30, "orders": 900, **changes})
    assert (report.passed, [line for line in summary(report) if line.startswith("FAILED")]) == (not failed, failed)
