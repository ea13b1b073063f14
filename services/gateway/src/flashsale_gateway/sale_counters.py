"""Orders counted by sale, with a limit on what that costs Prometheus.

A sale gets its own label with its first order, as long as fewer than `sales_max` sales have one. All other sales, and ids that are not
sales, are counted together as `_other`. A sale loses its label after an hour without orders, if another sale needs one: a process makes
at most `sales_max` new labels an hour, however many sales there are.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from typing import Any

from prometheus_client import Counter

from flashsale_core.scripts import STATUS

OTHER = "_other"
"""Not the id of a sale: those begin with a letter or a digit."""
IDLE_SECONDS = 3600.0


class SaleCounters:
    def __init__(self, counter: Counter, sales_max: int, idle_seconds: float = IDLE_SECONDS) -> None:
        """`counter` has the labels sale and outcome."""
        self._counter = counter
        self._sales_max = sales_max
        self._idle_seconds = idle_seconds
        self._ordered_at: dict[str, float] = {}
        """Sales with their own label, by the time of their last order; the one without orders for longest comes first."""

    def count(self, decided: Iterable[tuple[str, Sequence[Sequence[Any]]]], now: float) -> None:
        """Count one batch, as (sale id, results of its orders). `now` is in seconds, by any clock that only goes forward."""
        tally: Tally[tuple[str, str]] = Tally()
        for sale_id, results in decided:
            # If a sale is unknown, all its orders are unknown.
            label = OTHER if results[0][STATUS] == "unknown_sale" else self._label(sale_id, now)
            if len(results) == 1:
                tally[label, results[0][STATUS]] += 1
            else:
                # Texts are counted in a fifth of the time of pairs.
                for outcome, orders in Tally([result[STATUS] for result in results]).items():
                    tally[label, outcome] += orders
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
