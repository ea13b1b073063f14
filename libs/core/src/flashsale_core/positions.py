"""Ranges of positions: which entries of a shard's outbox were received, and which are missing. Pure.

The order-worker stores ranges, the keeper waits for holes to close, and the audit compares only what the ledger has received.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Range(NamedTuple):
    """The positions from `first` to `last`, both included."""

    first: int
    last: int

    @property
    def size(self) -> int:
        return self.last - self.first + 1


def merge(ranges: Iterable[Range]) -> list[Range]:
    """The same positions in as few ranges as possible, in ascending order."""
    merged: list[Range] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1].last + 1:
            merged[-1] = Range(merged[-1].first, max(merged[-1].last, last))
        else:
            merged.append(Range(first, last))
    return merged


def ranges_of(positions: Iterable[int]) -> list[Range]:
    """The ranges that contain exactly these positions, in ascending order."""
    return merge(Range(position, position) for position in positions)


def holes(received: Iterable[Range], first: int, last: int) -> list[Range]:
    """The ranges between `first` and `last`, both included, that were not received, in ascending order."""
    missing: list[Range] = []
    expected = first
    for known in merge(received):
        if known.first > last:
            break
        if known.first > expected:
            missing.append(Range(expected, known.first - 1))
        expected = max(expected, known.last + 1)
    if expected <= last:
        missing.append(Range(expected, last))
    return missing


def count_missing(received: Iterable[Range], first: int, last: int) -> int:
    """The number of positions between `first` and `last`, both included, that were not received."""
    return sum(hole.size for hole in holes(received, first, last))


def contiguous_to(received: Iterable[Range], first: int) -> int:
    """The highest position up to which all positions from `first` were received; `first - 1` if `first` itself was not."""
    known = next((known for known in merge(received) if known.last >= first), None)
    return known.last if known is not None and known.first <= first else first - 1
