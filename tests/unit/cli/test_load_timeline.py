"""A run over time: bins stay few whatever the run's length, lose no answer, and percentiles are near the measured times."""

import pytest

from flashsale_cli.load.latency import summarize
from flashsale_cli.load.outcomes import Group
from flashsale_cli.load.timeline import BIN_SECONDS, BINS_MAX, BUCKETS, Timeline, bucket_of


def test_long_run_is_joined_into_wider_bins_without_losing_an_answer() -> None:
    timeline = Timeline()
    for number in range(5000):
        timeline.record(number / 10, Group.ACCEPTED if number % 3 else Group.SOLD_OUT, 0.01)
    bins = timeline.bins()
    assert len(bins) <= BINS_MAX
    assert timeline.bin_seconds == 64 * BIN_SECONDS
    assert sum(each.counts[Group.ACCEPTED] for each in bins) == 3333
    assert sum(each.counts[Group.SOLD_OUT] for each in bins) == 1667
    assert [each.begin_seconds for each in bins] == [pytest.approx(place * 6.4) for place in range(len(bins))]


def test_answer_far_in_the_future_costs_no_more_bins() -> None:
    timeline = Timeline()
    timeline.record(0.0, Group.ACCEPTED, 0.001)
    timeline.record(86_400.0, Group.ERROR, None)
    bins = timeline.bins()
    assert len(bins) <= BINS_MAX
    assert (bins[0].counts[Group.ACCEPTED], bins[-1].counts[Group.ERROR], bins[-1].percentiles_ms) == (1, 1, (None, None, None))


def test_percentiles_of_a_bin_are_within_5_percent() -> None:
    timeline, times = Timeline(), [0.0007 * 1.01**number for number in range(1000)]
    for seconds in times:
        timeline.record(0.05, Group.ACCEPTED, seconds)
    exact = summarize(times)
    assert exact is not None
    expected = dict(exact.percentiles_ms)
    assert timeline.bins()[0].percentiles_ms == tuple(pytest.approx(expected[each], rel=0.05) for each in (50.0, 95.0, 99.0))


def test_rows_of_a_table_are_at_most_what_it_asks_for() -> None:
    timeline = Timeline()
    for number in range(100):
        timeline.record(number / 10 + 0.05, Group.ACCEPTED, 0.01)
    assert [each.counts[Group.ACCEPTED] for each in timeline.bins(12)] == [9] * 11 + [1]


@pytest.mark.parametrize(("milliseconds", "bucket"), [(0.0, 0), (0.1, 0), (0.2, 8), (1e9, BUCKETS - 1)])
def test_every_time_has_a_bucket(milliseconds: float, bucket: int) -> None:
    assert bucket_of(milliseconds) == bucket


def test_empty_run_has_no_bins() -> None:
    assert Timeline().to_json() == {"bin_seconds": BIN_SECONDS, "bins": []}
