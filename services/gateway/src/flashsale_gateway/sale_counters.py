"""Orders counted by sale, with a bound on what that costs a Prometheus.

A sale gets a label of its own with its first order, while fewer than `sales_max` have one; all others, and names that are no sale, are
counted together as `_other`. A label is given up after an hour without an order, and only when another sale wants it: a process makes at
most `sales_max` new ones an hour, whatever the number of sales.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from typing import Any

from prometheus_client import Counter

from flashsale_core.scripts import STATUS

OTHER = "_other"
"""No product's id: those begin with a letter or a digit."""
IDLE_SECONDS = 3600.0


class SaleCounters:
    def __init__(self, counter: Counter, sales_max: int, idle_seconds: float = IDLE_SECONDS) -> None:
        """`counter` has the labels sale and outcome."""
        self._counter = counter
        self._sales_max = sales_max
        self._idle_seconds = idle_seconds
        self._ordered_at: dict[str, float] = {}
        """Sales with a label of their own, the one that was idle longest first."""

    def count(self, decided: Iterable[tuple[str, Sequence[Sequence[Any]]]], now: float) -> None:
        """Count one batch: for each sale its results, which begin with their outcome; `now` is in seconds of any steady clock."""
        tally: Tally[tuple[str, str]] = Tally()
        for sale_id, results in decided:
            # Of a sale that is unknown every order is.
            label = OTHER if results[0][STATUS] == "unknown_sale" else self._label(sale_id, now)
            if len(results) == 1:
                tally[label, results[0][STATUS]] += 1
            else:
                tally.update([(label, result[STATUS]) for result in results])
        for (label, outcome), orders in tally.items():
            self._counter.labels(label, outcome).inc(orders)

    def _label(self, sale_id: str, now: float) -> str:
        if self._ordered_at.pop(sale_id, None) is None and len(self._ordered_at) >= self._sales_max:
            idle, since = next(iter(self._ordered_at.items()))
            if now - since < self._idle_seconds:
                return OTHER
            del self._ordered_at[idle]
            self._counter.remove_by_labels({"sale": idle})
        self._ordered_at[sale_id] = now
        return sale_id
