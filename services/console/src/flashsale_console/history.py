"""Demand and sold units of a sale over time, from the ledger's history. Pure.

Demand is the units of accepted orders: what was refused is in no ledger. For a large sale, a sample is read and scaled.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

BUCKETS = 60
SAMPLE_MAX = 5000
"""Orders that are read for a plot; the error of a count in a bucket of n of them is about its square root."""
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400)
"""Seconds of one bucket: whole parts of what people read from a clock."""


class Row(NamedTuple):
    """What entered a state within one second."""

    second: int
    state: str
    units: int
    orders: int


@dataclass(frozen=True, slots=True)
class History:
    begin: int
    """Seconds since the epoch at which the first bucket begins; 0 if nothing happened yet."""
    step_seconds: int
    demand: tuple[int, ...]
    """Units of the orders that were accepted in each bucket."""
    sold: tuple[int, ...]
    """Units sold by the end of each bucket, less those that were returned."""
    sampled: int = 0
    """The orders that were read, if these are not all."""

    @property
    def end(self) -> int:
        return self.begin + self.step_seconds * len(self.demand)


def history(rows: Iterable[Row], orders: int, now_seconds: int) -> History:
    """`orders` is the number of orders of the sale; fewer in `rows` are a sample of them. Until now if the last event was lately."""
    known = list(rows)
    if not known:
        return History(0, STEPS[0], (), ())
    read = sum(row.orders for row in known if row.state == "reserved") or 1
    scale = max(1.0, orders / read)
    first, last = min(row.second for row in known), max(row.second for row in known)
    last = now_seconds if last <= now_seconds < last + (last - first + 60) / 4 else last
    step = next((step for step in STEPS if (last - first) / step < BUCKETS - 1), 0) or -(-(last - first + 1) // (BUCKETS - 1))
    begin = first - first % step
    count = (last - begin) // step + 1
    demand, moved = [0.0] * count, [0.0] * count
    for row in known:
        at = min(max((row.second - begin) // step, 0), count - 1)
        if row.state == "reserved":
            demand[at] += row.units * scale
        elif row.state in ("paid", "returned"):
            moved[at] += row.units * scale * (1 if row.state == "paid" else -1)
    sold, total = [], 0.0
    for units in moved:
        total += units
        sold.append(max(0, round(total)))
    return History(begin, step, tuple(round(units) for units in demand), tuple(sold), read if scale > 1 else 0)
