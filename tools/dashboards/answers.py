"""What a Prometheus says to the queries of a dashboard over a stretch of time. `ask` talks to it; the rest is pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tools.dashboards.dashboards import RATE_INTERVAL, Dashboard, Panel, chosen_all, legend, substituted
from tools.dashboards.prometheus import Prometheus

STEP_SECONDS = 1.0
RATE_SECONDS = 4
"""What Grafana makes of $__rate_interval when a target is scraped each second: four scrapes."""


@dataclass(frozen=True, slots=True)
class Span:
    start: float
    end: float
    """Unix time in seconds."""

    @property
    def moments(self) -> list[float]:
        return [self.start + STEP_SECONDS * number for number in range(int((self.end - self.start) / STEP_SECONDS) + 1)]

    def clock_ticks(self, most: int) -> list[float]:
        """Round times of day, `most` at most."""
        step = next(seconds for seconds in (5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600) if (self.end - self.start) / seconds <= most)
        first = math.ceil(self.start / step) * step
        return [float(at) for at in range(first, math.floor(self.end) + 1, step)]


def clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}"


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    values: Sequence[float]
    """One for each moment of the span, NaN where there is none."""

    @property
    def last(self) -> float | None:
        """The last that is a number."""
        return next((value for value in reversed(self.values) if not math.isnan(value)), None)


def ask(prometheus: Prometheus, dashboard: Dashboard, span: Span, chosen: Mapping[str, str]) -> list[tuple[Panel, list[Series]]]:
    """Every panel with what it shows, its variables at All but those that were chosen."""
    values = chosen_all(dashboard.variables, prometheus.label_values) | dict(chosen) | {RATE_INTERVAL: f"{RATE_SECONDS}s"}

    def series(panel: Panel) -> list[Series]:
        return [
            Series(legend(target.legend, labels), aligned(points, span))
            for target in panel.targets
            for labels, points in prometheus.over(substituted(target.query, values), span.start, span.end, STEP_SECONDS)
        ]

    return [(panel, series(panel)) for panel in dashboard.panels]


def aligned(points: Sequence[tuple[float, float]], span: Span) -> list[float]:
    """A value for each moment of the span; Prometheus leaves out those it has none for."""
    known = {round((at - span.start) / STEP_SECONDS): value for at, value in points}
    return [known.get(index, math.nan) for index in range(len(span.moments))]


def stacked(series: Sequence[Series]) -> list[Series]:
    """Each on the sum of those before it; where one has nothing it adds nothing, and has nothing still."""
    sums, found = [0.0] * max((len(one.values) for one in series), default=0), []
    for one in series:
        found.append(Series(one.name, [below + value for below, value in zip(sums, one.values, strict=True)]))
        sums = [below if math.isnan(value) else below + value for below, value in zip(sums, one.values, strict=True)]
    return found


def floors(series: Sequence[Series]) -> list[list[float]]:
    """What each stands on when they are stacked."""
    pairs = zip(stacked(series), series, strict=True)
    return [[top - own for top, own in zip(high.values, one.values, strict=True)] for high, one in pairs]


def largest(series: Sequence[Series]) -> float:
    """The largest number there is, 0 without any."""
    return max((value for one in series for value in one.values if math.isfinite(value)), default=0.0)
