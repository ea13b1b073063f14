"""Orders answered in one turn of the event loop, counted together: the answers of a batch cost the metrics little more than one."""

import asyncio
from collections import Counter as Tally

from prometheus_client import Counter

from flashsale_gateway.metrics import BatchHistogram


class OrderTally:
    def __init__(self, outcomes: Counter, seconds: BatchHistogram) -> None:
        """`outcomes` has the label outcome."""
        self._outcomes = outcomes
        self._seconds = seconds
        self._answered: list[str] = []
        self._took: list[float] = []

    def add(self, outcome: str, seconds: float) -> None:
        """Count an order whose answer took `seconds`. The metrics have it in the next turn of the loop."""
        if not self._answered:
            asyncio.get_running_loop().call_soon(self._count)
        self._answered.append(outcome)
        self._took.append(seconds)

    def _count(self) -> None:
        answered, self._answered = self._answered, []
        took, self._took = self._took, []
        for outcome, orders in Tally(answered).items():
            self._outcomes.labels(outcome).inc(orders)
        self._seconds.observe_all(took)
