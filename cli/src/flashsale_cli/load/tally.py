"""The results of a run so far: counts, times and the orders of the buyers."""

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from flashsale_cli.load.latency import Latency, summarize
from flashsale_cli.load.outcomes import Group, Outcome
from flashsale_cli.load.plan import Click, Kind
from flashsale_cli.load.timeline import Timeline

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
    """Time of every answered request. Seconds."""
    accepted_seconds: "array[float]" = field(default_factory=lambda: array("d"))
    orders: dict[str, Accepted] = field(default_factory=dict)
    """By request id: the orders that the buyers received."""
    broken: list[str] = field(default_factory=list)
    """Sentences about answers that must never occur."""
    impostors: Counter[Outcome] = field(default_factory=Counter)
    """The answers to impostors, who are in `outcomes` too."""
    unproven: int = 0
    """Orders of genuine buyers that were refused for their proof."""
    timeline: Timeline = field(default_factory=Timeline)
    elapsed_seconds: float = 0.0

    def done(self) -> int:
        return self.outcomes.total()

    def per_second(self) -> float:
        """Answered and unanswered requests per second; 0 before the run has ended."""
        return self.done() / self.elapsed_seconds if self.elapsed_seconds else 0.0

    def count(self, group: Group) -> int:
        return sum(count for outcome, count in self.outcomes.items() if outcome.group is group)

    def sorted_outcomes(self) -> list[tuple[Outcome, int]]:
        """By group, and in each group the most frequent first."""
        order = list(Group)
        return sorted(self.outcomes.items(), key=lambda item: (order.index(item[0].group), -item[1]))

    def latencies(self) -> dict[str, Latency]:
        """The latencies of all answers and of those that were orders; what was not measured is missing."""
        measured = {"all answers": summarize(self.seconds), "orders": summarize(self.accepted_seconds)}
        return {name: latency for name, latency in measured.items() if latency is not None}

    def answered(self, click: Click, outcome: Outcome, document: Any, seconds: float, at_seconds: float = 0.0) -> Accepted | None:
        """Count an answer that came `at_seconds` after the run began. Returns the order if this is its first answer."""
        self.outcomes[outcome] += 1
        self.timeline.record(at_seconds, outcome.group, seconds)
        self.seconds.append(seconds)
        if click.kind is Kind.IMPOSTOR:
            self.impostors[outcome] += 1
        elif outcome.unproven and click.kind is not Kind.RUBBISH:
            self.unproven += 1
        if outcome.group not in {Group.ACCEPTED, Group.REPLAYED}:
            return None
        self.accepted_seconds.append(seconds)
        return self._record_order(click, document)

    def unanswered(self, outcome: Outcome, at_seconds: float = 0.0) -> None:
        self.outcomes[outcome] += 1
        self.timeline.record(at_seconds, outcome.group, None)

    def _record_order(self, click: Click, document: Any) -> Accepted | None:
        order_id = str(document.get("orderId", "")) if isinstance(document, dict) else ""
        earlier = self.orders.get(click.request_id)
        if click.kind is Kind.RUBBISH:
            self._report_broken(f"an invalid request was accepted: {click.body[:80]!r}")
        elif click.kind is Kind.IMPOSTOR:
            self._report_broken(f"an order without a genuine proof was accepted: request {click.request_id}")
        elif not order_id:
            self._report_broken(f"the answer to an accepted order has no order id: request {click.request_id}")
        elif earlier is not None and earlier.order_id != order_id:
            self._report_broken(f"request {click.request_id} received two orders: {earlier.order_id} and {order_id}")
        elif earlier is None:
            self.orders[click.request_id] = Accepted(order_id, click.user_id, click.request_id)
            return self.orders[click.request_id]
        return None

    def _report_broken(self, sentence: str) -> None:
        if len(self.broken) < SAMPLES_MAX:
            self.broken.append(sentence)
