"""What a bench has measured, and the targets it is compared with. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from types import MappingProxyType

from tools.bench.wrk import WrkResult

BARE, RAW, ACCEPTED, SOLD_OUT = "bare Starlette", "raw ASGI", "accepted", "sold out"
REPLAYED, RATE_LIMITED = "replayed", "rate limited"
REFUSED = frozenset({SOLD_OUT, RATE_LIMITED})
"""Kinds of request that must all be refused. All requests of the other kinds must be accepted."""


@dataclass(frozen=True, slots=True)
class Target:
    limit: float
    at_least: bool = True

    def reached(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}"


RATIO_TARGETS: Mapping[tuple[str, int], Target] = MappingProxyType(
    {(ACCEPTED, 64): Target(0.8), (ACCEPTED, 512): Target(1.0), (SOLD_OUT, 64): Target(1.1), (SOLD_OUT, 512): Target(1.1)},
)
"""(kind of request, connections) -> the gateway's rate divided by the bare endpoint's."""
P99_TARGETS: Mapping[tuple[str, int], Target] = MappingProxyType({(ACCEPTED, 512): Target(100, at_least=False)})
"""(kind of request, connections) -> milliseconds."""
PERSISTED_TARGET = Target(1.0, at_least=False)
"""Seconds from the end of the load until the ledger has every accepted order."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One row of a section."""

    name: str
    value: float
    unit: str
    target: Target | None = None
    details: str = ""
    extra: Mapping[str, float] = field(default_factory=dict)
    """Further numbers, for the plots."""

    @property
    def reached(self) -> bool:
        return self.target is None or self.target.reached(self.value)

    def verdict(self) -> str:
        """One line for a bench that measures little."""
        target = f" (target {self.target})" if self.target else ""
        details = f"; {self.details}" if self.details else ""
        return f"{'PASS' if self.reached else 'MISS'}  {self.name}: {self.value:.1f} {self.unit}{target}{details}"


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    measurements: Sequence[Measurement]
    problems: Sequence[str] = ()
    """Reasons why the measurements are worthless, and broken promises."""
    sale_ids: Sequence[str] = field(default=(), compare=False)
    """Sales that the audit checks."""


@dataclass(frozen=True, slots=True)
class Persisted:
    """How many accepted orders of one round reached Redis and the ledger."""

    answered: int
    """Orders that wrk counted as accepted."""
    reserved: int
    """Orders that Redis accepted during the round."""
    in_ledger: int
    """Orders of the round that were in the ledger when the wait ended."""
    after_seconds: float
    """Seconds from the end of the load to the end of the wait: the ledger had every order, or the patience was over."""


@dataclass(frozen=True, slots=True)
class Round:
    connections: int
    results: Mapping[str, WrkResult]
    """Kind of request -> result."""
    persisted: Persisted

    def problems(self) -> list[str]:
        """Reasons why the round is worthless, and broken promises."""
        answered, reserved = self.persisted.answered, self.persisted.reserved
        checks = {
            # wrk ends without waiting: an order under way at that moment is accepted and not counted, one for each connection at most.
            f"{answered} orders answered, {reserved} in Redis": not answered <= reserved <= answered + self.connections,
            f"{reserved} orders in Redis, {self.persisted.in_ledger} in the ledger": self.persisted.in_ledger != reserved,
        }
        return [*result_problems(self.results), *(words for words, wrong in checks.items() if wrong)]


def result_problems(results: Mapping[str, WrkResult]) -> list[str]:
    problems = []
    for kind, result in results.items():
        if kind in REFUSED and result.accepted:
            problems.append(f"{kind}: {result.accepted} were accepted")
        if kind not in REFUSED and result.refused:
            problems.append(f"{kind}: {result.refused} were refused")
        if result.broken:
            problems.append(f"{kind}: {result.broken} connections broke")
    return problems


@dataclass(frozen=True, slots=True)
class RateSummary:
    """The medians of one kind of request at one number of connections."""

    kind: str
    connections: int
    per_second: float
    ratio: float
    """`per_second` divided by that of the bare endpoint."""
    target: Target | None
    p50_ms: float
    p99_ms: float
    p99_target: Target | None

    @property
    def reached(self) -> bool:
        return (self.target is None or self.target.reached(self.ratio)) and (
            self.p99_target is None or self.p99_target.reached(self.p99_ms)
        )


def summarize_rates(rounds: Sequence[Round]) -> list[RateSummary]:
    by_connections = {
        count: [each for each in rounds if each.connections == count] for count in sorted({each.connections for each in rounds})
    }
    return [summary for count, same in by_connections.items() for summary in _summaries(count, same)]


def _summaries(connections: int, rounds: Sequence[Round]) -> list[RateSummary]:
    bare = median(each.results[BARE].per_second for each in rounds)
    return [_summary(kind, connections, [each.results[kind] for each in rounds], bare) for kind in rounds[0].results]


def _summary(kind: str, connections: int, results: Sequence[WrkResult], bare_per_second: float) -> RateSummary:
    rate = median(result.per_second for result in results)
    p50_ms, p99_ms = median(result.p50_ms for result in results), median(result.p99_ms for result in results)
    at = (kind, connections)
    return RateSummary(kind, connections, rate, rate / bare_per_second, RATIO_TARGETS.get(at), p50_ms, p99_ms, P99_TARGETS.get(at))
