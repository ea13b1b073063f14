"""Finds the entries of a shard that never reached the ledger. Pure.

Positions are contiguous within an incarnation, so a position that no range contains is an entry that the ledger did not receive.
"""

from collections.abc import Iterable

Range = tuple[int, int]
"""The first and the last position of a contiguous run, both included."""


def missing(received: Iterable[Range], first: int, last: int) -> list[Range]:
    """The runs of positions from `first` to `last` that no range of `received` contains. Ranges may overlap and come in any order."""
    holes, expected = [], first
    for start, end in sorted(received):
        if start > last:
            break
        if start > expected:
            holes.append((expected, start - 1))
        expected = max(expected, end + 1)
    if expected <= last:
        holes.append((expected, last))
    return holes


def count(ranges: Iterable[Range]) -> int:
    """The number of positions in ranges that do not overlap."""
    return sum(end - start + 1 for start, end in ranges)
