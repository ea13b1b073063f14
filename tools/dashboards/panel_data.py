"""The data of a dashboard's panels over a range of time. `query_panels` asks Prometheus; the rest is pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tools.dashboards.prometheus import Prometheus
from tools.dashboards.reader import RATE_INTERVAL, Dashboard, Panel, chosen_all, legend, substituted

STEP_SECONDS = 1.0
RATE_SECONDS = 4
"""Grafana's $__rate_interval when a target is scraped each second: four scrapes."""


@dataclass(frozen=True, slots=True)
class TimeRange:
    start: float
    end: float
    """Both in Unix seconds."""

    @property
    def moments(self) -> list[float]:
        return [self.start + STEP_SECONDS * number for number in range(int((self.end - self.start) / STEP_SECONDS) + 1)]

    def clock_ticks(self, count_max: int) -> list[float]:
        """Round times of day, `count_max` at most."""
        step = next(seconds for seconds in (5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600) if (self.end - self.start) / seconds <= count_max)
        first = math.ceil(self.start / step) * step
        return [float(at) for at in range(first, math.floor(self.end) + 1, step)]


def clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}"


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    values: Sequence[float]
    """One for each moment of the time range; NaN where there is no value."""

    @property
    def last(self) -> float | None:
        """The last value that is a number."""
        return next((value for value in reversed(self.values) if not math.isnan(value)), None)


def query_panels(
    prometheus: Prometheus, dashboard: Dashboard, time_range: TimeRange, chosen: Mapping[str, str]
) -> list[tuple[Panel, list[Series]]]:
    """Every panel with its series. Variables stand at All, except for those in `chosen`."""
    values = chosen_all(dashboard.variables, prometheus.label_values) | dict(chosen) | {RATE_INTERVAL: f"{RATE_SECONDS}s"}

    def series(panel: Panel) -> list[Series]:
        return [
            Series(legend(target.legend, labels), aligned(points, time_range))
            for target in panel.targets
            for labels, points in prometheus.over(substituted(target.query, values), time_range.start, time_range.end, STEP_SECONDS)
        ]

    return [(panel, series(panel)) for panel in dashboard.panels]


def aligned(points: Sequence[tuple[float, float]], time_range: TimeRange) -> list[float]:
    """A value for each moment of the time range. Prometheus leaves out moments without a value."""
    known = {round((at - time_range.start) / STEP_SECONDS): value for at, value in points}
    return [known.get(index, math.nan) for index in range(len(time_range.moments))]


def stacked(series: Sequence[Series]) -> list[Series]:
    """Each series on the sum of those before it. A missing value adds nothing, and stays missing."""
    sums, tops = [0.0] * max((len(each.values) for each in series), default=0), []
    for each in series:
        tops.append(Series(each.name, [below + value for below, value in zip(sums, each.values, strict=True)]))
        sums = [below if math.isnan(value) else below + value for below, value in zip(sums, each.values, strict=True)]
    return tops


def floors(series: Sequence[Series]) -> list[list[float]]:
    """The values that each series stands on when they are stacked."""
    pairs = zip(stacked(series), series, strict=True)
    return [[top - own for top, own in zip(high.values, each.values, strict=True)] for high, each in pairs]


def largest(series: Sequence[Series]) -> float:
    """The largest finite number, or 0 when there is no number."""
    return max((value for each in series for value in each.values if math.isfinite(value)), default=0.0)
