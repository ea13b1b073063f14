"""What two scrapes of a process say together: how much was counted between them, and what the gauges say now.

A series that is missing in the earlier scrape began at 0: a process that counts makes a series when it first counts, which `rate` of
Prometheus cannot know.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Self

from flashsale_cli.top.quantile import histogram_quantile
from flashsale_cli.top.samples import Labels, Samples, started_at


@dataclass(frozen=True, slots=True)
class Change:
    """Of one process. `before` is None when it did not answer the last time, or another process did."""

    now: Samples
    before: Samples | None
    seconds: float

    @classmethod
    def between(cls, before: Samples | None, now: Samples, seconds: float) -> Self:
        # Behind one address there may be several processes, and their counters are not one another's.
        same = before is not None and started_at(before) == started_at(now) and seconds > 0
        return cls(now, before if same else None, seconds)

    def per_second(self, name: str) -> Mapping[Labels, float] | None:
        """None when the process does not count that, or was scraped once."""
        if self.before is None or name not in self.now:
            return None
        earlier = self.before.get(name, {})
        return {labels: increase(earlier.get(labels, 0.0), value) / self.seconds for labels, value in self.now[name].items()}


def increase(before: float, now: float) -> float:
    """Of a counter. One that fell began again at 0."""
    return now - before if now >= before else now


@dataclass(frozen=True, slots=True)
class Changes:
    """Of all processes together. Everything is None when no process can say it."""

    of_processes: Sequence[Change]

    def rate(self, name: str, /, **wanted: str) -> float | None:
        """Per second, added up over series with the labels `wanted` and over processes."""
        by_any = self.rates(name, "", **wanted)
        return None if by_any is None else sum(by_any.values(), 0.0)

    def rates(self, name: str, by: str, /, **wanted: str) -> dict[str, float] | None:
        """Per second, by the values of the label `by`."""
        found = list(self._rates(name))
        sums: dict[str, float] = defaultdict(float)
        for labels, value in (item for rates in found for item in rates.items()):
            if wanted.items() <= (named := dict(labels)).items():
                sums[named.get(by, "")] += value
        return dict(sorted(sums.items())) if found else None

    def quantile(self, q: float, name: str, /, **wanted: str) -> float | None:
        buckets = self.rates(f"{name}_bucket", "le", **wanted)
        return histogram_quantile(q, {_bound(le): rate for le, rate in buckets.items()}) if buckets else None

    def quantiles(self, q: float, name: str, by: str) -> dict[str, float]:
        """By the values of the label `by`, without those nothing was observed for."""
        counts = self.rates(f"{name}_count", by) or {}
        found = {value: self.quantile(q, name, **{by: value}) for value in counts}
        return {value: quantile for value, quantile in found.items() if quantile is not None}

    def mean(self, name: str) -> float | None:
        total, count = self.rate(f"{name}_sum"), self.rate(f"{name}_count")
        return total / count if total is not None and count else None

    def total(self, name: str) -> float | None:
        """As it stands now, added up: of counters since their processes began, of gauges of what each process has of its own."""
        values = list(self.values(name))
        return sum((value for _, value in values), 0.0) if values or self._known(name) else None

    def most(self, name: str) -> float | None:
        """Of a gauge that several processes tell the same of."""
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


def _bound(le: str) -> float:
    return inf if le == "+Inf" else float(le)
