"""The comparison of confirmed sales with fsync sales: medians, and targets at one number of connections."""

from dataclasses import replace

import pytest

from tools.bench.confirmed import compared
from tools.bench.wrk import WrkResult

RESULT = WrkResult(requests=1000, seconds=1.0, refused=0, broken=0, p50_ms=10.0, p99_ms=20.0, max_ms=30.0)


def results(requests: int, p50_ms: float) -> dict[str, list[WrkResult]]:
    """Three rounds; the first of `confirmed` is an outlier."""
    slow, usual = replace(RESULT, requests=1, p50_ms=900.0), replace(RESULT, requests=requests, p50_ms=p50_ms)
    return {"fsync": [RESULT] * 3, "confirmed": [slow, usual, usual]}


@pytest.mark.parametrize(
    ("requests", "p50_ms", "reached"),
    [(850, 15.0, [True, True]), (849, 15.0, [False, True]), (850, 15.1, [True, False]), (1200, 8.0, [True, True])],
)
def test_targets_at_64_connections_are_a_rate_and_a_delay(requests: int, p50_ms: float, reached: list[bool]) -> None:
    rate, delay = compared(64, results(requests, p50_ms))
    assert [rate.value, delay.value] == pytest.approx([requests / 1000, p50_ms - 10])
    assert [rate.reached, delay.reached] == reached


def test_other_numbers_of_connections_have_no_target() -> None:
    assert [each.target for each in compared(512, results(1, 900.0))] == [None, None]
