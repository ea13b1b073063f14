"""The audit pauses until its processor time is within its share."""

import pytest

from flashsale_audit.budget import PAUSE_SECONDS_MAX, pause_seconds


@pytest.mark.parametrize(
    ("used", "elapsed", "pause"), [(0.002, 0.002, 0.098), (0.002, 0.2, 0.0), (0.0, 0.0, 0.0), (10.0, 10.0, PAUSE_SECONDS_MAX)]
)
def test_pause_brings_the_share_to_two_percent(used: float, elapsed: float, pause: float) -> None:
    assert pause_seconds(used, elapsed, 0.02) == pytest.approx(pause)
