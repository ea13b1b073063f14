"""Percentiles of measured times, by nearest rank over all of them: no buckets, no estimate."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)


@dataclass(frozen=True, slots=True)
class Latency:
    count: int
    mean_ms: float
    percentiles_ms: tuple[tuple[float, float], ...]
    max_ms: float

    def words(self) -> tuple[str, ...]:
        """Mean, percentiles and maximum in milliseconds."""
        values = (self.mean_ms, *(value for _, value in self.percentiles_ms), self.max_ms)
        return tuple(f"{value:,.1f}" for value in values)

    def to_json(self) -> dict[str, float]:
        named = {f"p{percentile:g}_ms": round(value, 3) for percentile, value in self.percentiles_ms}
        return {"count": self.count, "mean_ms": round(self.mean_ms, 3), **named, "max_ms": round(self.max_ms, 3)}


def summarize(seconds: Sequence[float]) -> Latency | None:
    """The latencies of times in seconds. None if there are no times."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    ranked = tuple((percentile, 1000 * _nearest_rank(ordered, percentile)) for percentile in PERCENTILES)
    return Latency(len(ordered), 1000 * sum(ordered) / len(ordered), ranked, 1000 * ordered[-1])


def _nearest_rank(ordered: Sequence[float], percentile: float) -> float:
    # Rounded first, because 99.9 / 100 * 1000 is slightly more than 999 in floating point.
    return ordered[max(0, ceil(round(percentile * len(ordered) / 100, 9)) - 1)]
