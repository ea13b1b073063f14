import math

from tools.dashboards.panel_data import Series, TimeRange, aligned, clock, floors, largest, stacked

TIME_RANGE = TimeRange(1000.0, 1003.0)


def test_moment_without_a_value_is_nan() -> None:
    values = aligned([(1000.0, 1.0), (1002.0, 3.0)], TIME_RANGE)
    assert (values[0], values[2], [math.isnan(value) for value in values]) == (1.0, 3.0, [False, True, False, True])


def test_last_value_is_the_last_number() -> None:
    assert Series("x", [1.0, 2.0, math.nan]).last == 2.0
    assert Series("x", [math.nan]).last is None


def test_stacked_series_add_up() -> None:
    tops = stacked([Series("a", [1.0, math.nan]), Series("b", [2.0, 3.0])])
    assert (tops[0].values[0], math.isnan(tops[0].values[1]), tops[1].values) == (1.0, True, [3.0, 3.0])
    assert floors([Series("a", [1.0]), Series("b", [2.0])]) == [[0.0], [1.0]]
    assert (stacked([]), floors([])) == ([], [])


def test_largest_value_is_finite() -> None:
    assert largest([Series("a", [1.0, math.nan, math.inf]), Series("b", [4.0])]) == 4.0
    assert largest([]) == 0.0


def test_ticks_are_round_times() -> None:
    assert [clock(at) for at in TimeRange(3601.0, 3725.0).clock_ticks(4)] == ["01:01:00", "01:02:00"]
    assert [clock(at) for at in TimeRange(3601.0, 3625.0).clock_ticks(5)] == ["01:00:05", "01:00:10", "01:00:15", "01:00:20", "01:00:25"]
