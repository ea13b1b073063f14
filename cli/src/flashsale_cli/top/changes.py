"""What two scrapes of the same process show: how much was counted between them, and what the gauges are now. Pure.

A scrape that was not answered is passed over: the next one shows what was counted since the last answer, so nothing is left out.

A series that is missing in the earlier scrape started at 0, because a process creates a series when it first counts something. Prometheus'
`rate` cannot assume that.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Self

from flashsale_cli.top.reading import Labels, Reading, Samples, Scrape, Target, started_at


@dataclass(frozen=True, slots=True)
class Change:
    """The change of one process. `before` is None if no process, or another one, answered earlier."""

    now: Samples
    before: Samples | None
    seconds: float

    @classmethod
    def between(cls, before: Samples | None, now: Samples, seconds: float) -> Self:
        # One address may lead to several processes, and their counters have nothing to do with each other.
        same = before is not None and started_at(before) == started_at(now) and seconds > 0
        return cls(now, before if same else None, seconds)

    def per_second(self, name: str) -> Mapping[Labels, float] | None:
        """None if the process does not count that, or was scraped only once."""
        if self.before is None or name not in self.now:
            return None
        earlier = self.before.get(name, {})
        return {labels: increase(earlier.get(labels, 0.0), value) / self.seconds for labels, value in self.now[name].items()}


def increase(before: float, now: float) -> float:
    """The increase of a counter. A counter that fell was reset to 0 in between."""
    return now - before if now >= before else now


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes of all processes together. Every number is None if no process has it."""

    of_processes: Sequence[Change]

    def rate(self, name: str, /, **wanted: str) -> float | None:
        """Per second, summed over processes and over the series with the labels `wanted`."""
        by_any = self.rates(name, "", **wanted)
        return None if by_any is None else sum(by_any.values(), 0.0)

    def rates(self, name: str, by: str, /, **wanted: str) -> dict[str, float] | None:
        """Per second, by the values of the label `by`."""
        by_process = list(self._rates(name))
        sums: dict[str, float] = defaultdict(float)
        for labels, value in (item for rates in by_process for item in rates.items()):
            if wanted.items() <= (named := dict(labels)).items():
                sums[named.get(by, "")] += value
        return dict(sorted(sums.items())) if by_process else None

    def quantile(self, q: float, name: str, /, **wanted: str) -> float | None:
        buckets = self.rates(f"{name}_bucket", "le", **wanted)
        return histogram_quantile(q, {_bound(le): rate for le, rate in buckets.items()}) if buckets else None

    def quantiles(self, q: float, name: str, by: str) -> dict[str, float]:
        """By the values of the label `by`; values without observations are left out."""
        counts = self.rates(f"{name}_count", by) or {}
        quantiles = {value: self.quantile(q, name, **{by: value}) for value in counts}
        return {value: quantile for value, quantile in quantiles.items() if quantile is not None}

    def mean(self, name: str) -> float | None:
        total, count = self.rate(f"{name}_sum"), self.rate(f"{name}_count")
        return total / count if total is not None and count else None

    def total(self, name: str) -> float | None:
        """The sum of the current values: for counters since the start of each process, for gauges that each process has for itself."""
        values = list(self.values(name))
        return sum((value for _, value in values), 0.0) if values or self._known(name) else None

    def most(self, name: str) -> float | None:
        """The highest current value, for a gauge that several processes report about the same thing."""
        return max((value for _, value in self.values(name)), default=None)

    def values(self, name: str) -> Iterator[tuple[Labels, float]]:
        for change in self.of_processes:
            yield from change.now.get(name, {}).items()

    def _rates(self, name: str) -> Iterator[Mapping[Labels, float]]:
        for change in self.of_processes:
            if (rates := change.per_second(name)) is not None:
                yield rates

    def _known(self, name: str) -> bool:
        return any(name in change.now for change in self.of_processes)


def change_of(before: Scrape | None, now: Scrape) -> Change | None:
    """None if the process did not answer."""
    if now.samples is None:
        return None
    return Change.between(before.samples if before else None, now.samples, now.at_seconds - before.at_seconds if before else 0.0)


def changes_of(answers: Mapping[Target, Scrape], now: Reading) -> Changes:
    """The changes of all processes that answered. `answers` are their last answers before."""
    by_process = (change_of(answers.get(scrape.target), scrape) for scrape in now.scrapes)
    return Changes([change for change in by_process if change is not None])


def histogram_quantile(q: float, buckets: Mapping[float, float]) -> float | None:
    """A quantile of a histogram, as Prometheus' histogram_quantile computes it: linear inside a bucket.

    `buckets` are upper bound -> observations up to it, cumulative, with +Inf. None if nothing was observed.
    A quantile above the highest finite bound is reported as that bound, because nothing more is known.
    """
    bounds = sorted(buckets)
    if len(bounds) < 2 or bounds[-1] != inf or not (counts := _rising([buckets[bound] for bound in bounds]))[-1] > 0:
        return None
    rank = q * counts[-1]
    at = next(index for index, count in enumerate(counts) if count >= rank)
    if at == len(bounds) - 1:
        return bounds[-2]
    if at == 0 and bounds[0] <= 0:
        return bounds[0]
    lower, below = (bounds[at - 1], counts[at - 1]) if at else (0.0, 0.0)
    inside = counts[at] - below
    return lower + (bounds[at] - lower) * (rank - below) / inside if inside else bounds[at]


def _rising(counts: list[float]) -> list[float]:
    """Buckets are read one after another, and rates are rounded, so a later bucket may be slightly smaller than an earlier one."""
    highest = 0.0
    return [highest := max(highest, count) for count in counts]


def _bound(le: str) -> float:
    return inf if le == "+Inf" else float(le)
