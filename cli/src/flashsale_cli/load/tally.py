"""What a run has seen so far: counts, times, and the orders the buyers hold."""

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from flashsale_cli.load.outcomes import Group, Outcome
from flashsale_cli.load.plan import Click, Kind

SAMPLES_MAX = 10


@dataclass(frozen=True, slots=True)
class Accepted:
    order_id: str
    user_id: str
    request_id: str


@dataclass(slots=True)
class Tally:
    planned: int
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    seconds: "array[float]" = field(default_factory=lambda: array("d"))
    """Time of every answered request."""
    accepted_seconds: "array[float]" = field(default_factory=lambda: array("d"))
    orders: dict[str, Accepted] = field(default_factory=dict)
    """By request id: what the buyers were told they have."""
    broken: list[str] = field(default_factory=list)
    """Answers that must never be given, in words."""
    elapsed_seconds: float = 0.0

    def done(self) -> int:
        return self.outcomes.total()

    def count(self, group: Group) -> int:
        return sum(count for outcome, count in self.outcomes.items() if outcome.group is group)

    def answered(self, click: Click, outcome: Outcome, document: Any, seconds: float) -> Accepted | None:
        """Note an answer; returns the order when this is the first news of it."""
        self.outcomes[outcome] += 1
        self.seconds.append(seconds)
        if outcome.group not in {Group.ACCEPTED, Group.REPLAYED}:
            return None
        self.accepted_seconds.append(seconds)
        return self._hold(click, document)

    def unanswered(self, outcome: Outcome) -> None:
        self.outcomes[outcome] += 1

    def _hold(self, click: Click, document: Any) -> Accepted | None:
        order_id = str(document.get("orderId", "")) if isinstance(document, dict) else ""
        known = self.orders.get(click.request_id)
        if click.kind is Kind.RUBBISH:
            self._complain(f"rubbish was accepted: {click.body[:80]!r}")
        elif not order_id:
            self._complain(f"an accepted order has no id: request {click.request_id}")
        elif known is not None and known.order_id != order_id:
            self._complain(f"request {click.request_id} got two orders: {known.order_id} and {order_id}")
        elif known is None:
            self.orders[click.request_id] = Accepted(order_id, click.user_id, click.request_id)
            return self.orders[click.request_id]
        return None

    def _complain(self, words: str) -> None:
        if len(self.broken) < SAMPLES_MAX:
            self.broken.append(words)
