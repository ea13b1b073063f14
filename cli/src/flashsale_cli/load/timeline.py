"""How a run went over time: answers and latencies in a bounded number of bins, whatever its length. Pure."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log2
from typing import Any

from flashsale_cli.load.outcomes import Group

BINS_MAX = 120
BIN_SECONDS = 0.1
"""Width of a bin at first. It doubles whenever the run is longer than BINS_MAX bins."""
LEAST_MS = 0.1
STEPS_PER_DOUBLING = 8
BUCKETS = 20 * STEPS_PER_DOUBLING
"""From LEAST_MS to 105 s. A bucket is 9 % wide, so a percentile is at most 5 % from the measured time."""
SHOWN_PERCENTILES = (50.0, 95.0, 99.0)
_GROUPS = {group: place for place, group in enumerate(Group)}


@dataclass(frozen=True, slots=True)
class Bin:
    """What was answered in one stretch of the run."""

    begin_seconds: float
    counts: dict[Group, int]
    percentiles_ms: tuple[float | None, ...]
    """In the order of SHOWN_PERCENTILES; None if nothing was answered."""

    def to_json(self) -> dict[str, Any]:
        named = zip(SHOWN_PERCENTILES, self.percentiles_ms, strict=True)
        return {
            "begin_seconds": round(self.begin_seconds, 3),
            "counts": {group.value: count for group, count in self.counts.items()},
            **{f"p{percentile:g}_ms": None if value is None else round(value, 2) for percentile, value in named},
        }


class Timeline:
    def __init__(self) -> None:
        self.bin_seconds = BIN_SECONDS
        self._counts: list[list[int]] = []
        self._buckets: list[array[int]] = []

    def record(self, at_seconds: float, group: Group, seconds: float | None) -> None:
        """Count a request that ended `at_seconds` after the run began, `seconds` after it was sent; None if it was not answered."""
        place = int(max(at_seconds, 0.0) / self.bin_seconds)
        while place >= BINS_MAX:
            self._widen()
            place //= 2
        while place >= len(self._counts):
            self._counts.append([0] * len(_GROUPS))
            self._buckets.append(array("L", bytes(array("L").itemsize * BUCKETS)))
        self._counts[place][_GROUPS[group]] += 1
        if seconds is not None:
            self._buckets[place][bucket_of(1000 * seconds)] += 1

    def bins(self, bins_max: int = BINS_MAX) -> list[Bin]:
        """The run in at most `bins_max` stretches of equal width, but the last, which ends with the run."""
        size = max(1, -(-len(self._counts) // bins_max))
        return list(self._joined(size))

    def to_json(self) -> dict[str, Any]:
        return {"bin_seconds": self.bin_seconds, "bins": [each.to_json() for each in self.bins()]}

    def _joined(self, size: int) -> Iterator[Bin]:
        for place, (counts, buckets) in enumerate(zip(_sums(self._counts, size), _sums(self._buckets, size), strict=True)):
            named = dict(zip(_GROUPS, counts, strict=True))
            yield Bin(place * size * self.bin_seconds, named, tuple(_percentile(buckets, each) for each in SHOWN_PERCENTILES))

    def _widen(self) -> None:
        self.bin_seconds *= 2
        self._counts = list(_sums(self._counts, 2))
        self._buckets = [array("L", each) for each in _sums(self._buckets, 2)]


def bucket_of(milliseconds: float) -> int:
    if milliseconds <= LEAST_MS:
        return 0
    return min(BUCKETS - 1, int(STEPS_PER_DOUBLING * log2(milliseconds / LEAST_MS)))


def _percentile(buckets: Sequence[int], percentile: float) -> float | None:
    """The middle of the bucket that holds the nearest rank. Milliseconds."""
    below, rank = 0, percentile / 100 * sum(buckets)
    for place, count in enumerate(buckets):
        below += count
        if count and below >= rank:
            return float(LEAST_MS * 2 ** ((place + 0.5) / STEPS_PER_DOUBLING))
    return None


def _sums(rows: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """The sums by column of each `size` rows; the last may have fewer."""
    return ([sum(column) for column in zip(*rows[first : first + size], strict=True)] for first in range(0, len(rows), size))
