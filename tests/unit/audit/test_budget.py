"""The audit pauses until its processor time is within its share."""

from time import monotonic

import pytest

from flashsale_audit.budget import PAUSE_SECONDS_MAX, Budget, pause_seconds


@pytest.mark.parametrize(
    ("used", "elapsed", "pause"), [(0.002, 0.002, 0.098), (0.002, 0.2, 0.0), (0.0, 0.0, 0.0), (10.0, 10.0, PAUSE_SECONDS_MAX)]
)
def test_pause_brings_the_share_to_two_percent(used: float, elapsed: float, pause: float) -> None:
    assert pause_seconds(used, elapsed, 0.02) == pytest.approx(pause)


async def test_pause_keeps_what_is_read_below_its_rate() -> None:
    read = iter([1_000, 1_000])
    budget = Budget(1.0, lambda _: None, lambda: next(read), entries_per_second=100_000, pause_seconds_min=0)
    began_at = monotonic()
    await budget.pace()
    assert monotonic() - began_at >= 0.009


async def test_end_of_a_round_pays_for_what_pace_saved_up() -> None:
    read, counted = iter([1_000, 1_000]), list[float]()
    budget = Budget(1.0, counted.append, lambda: next(read, 1_000), entries_per_second=100_000, pause_seconds_min=1)
    began_at = monotonic()
    await budget.pace()
    assert counted == []
    await budget.settle()
    assert (len(counted), monotonic() - began_at >= 0.009) == (1, True)
