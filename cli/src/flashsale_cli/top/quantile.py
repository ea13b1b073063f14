"""A quantile of a histogram, as Prometheus' histogram_quantile computes it."""

from collections.abc import Mapping
from math import inf


def histogram_quantile(q: float, buckets: Mapping[float, float]) -> float | None:
    """`buckets` are upper bound -> observations up to it, cumulative, +Inf among them; linear inside a bucket.

    None when nothing was observed. Past the highest finite bound it is that bound: nothing more is known.
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
    """Buckets are read one after the other, or rounded when they are rates: a later one may be a hair less."""
    highest = 0.0
    return [highest := max(highest, count) for count in counts]
