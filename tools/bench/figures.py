"""What a bench has measured: medians, ratios, and the bars they are held against. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from types import MappingProxyType
from typing import Any

from tools.bench.wrk import Shot

BARE, RAW, ACCEPTED, SOLD_OUT = "bare Starlette", "raw ASGI", "accepted", "sold out"
REPLAYED, RATE_LIMITED = "replayed", "rate limited"
REFUSED = frozenset({SOLD_OUT, RATE_LIMITED})
"""Kinds of request that must all be refused; all others must all be accepted."""


@dataclass(frozen=True, slots=True)
class Bar:
    limit: float
    at_least: bool = True

    def reached(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}"


RATIO_BARS: Mapping[tuple[str, int], Bar] = MappingProxyType(
    {(ACCEPTED, 64): Bar(0.8), (ACCEPTED, 512): Bar(1.0), (SOLD_OUT, 64): Bar(1.1), (SOLD_OUT, 512): Bar(1.1)},
)
"""Rate of the gateway beside that of the bare endpoint, by what is asked and the number of connections."""
P99_BARS: Mapping[tuple[str, int], Bar] = MappingProxyType({(ACCEPTED, 512): Bar(100, at_least=False)})
"""In ms."""
BACKLOG_BAR = Bar(1.0, at_least=False)
"""Seconds until the ledger has what was accepted, after the load."""


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of one section."""

    name: str
    value: float
    unit: str
    bar: Bar | None = None
    words: str = ""
    also: Mapping[str, float] = field(default_factory=dict)
    """Further numbers, for the plots."""

    @property
    def reached(self) -> bool:
        return self.bar is None or self.bar.reached(self.value)


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    lines: Sequence[Line]
    problems: Sequence[str] = ()
    """What makes the figures worthless, or a promise broken."""
    sale_ids: Sequence[str] = field(default=(), compare=False)
    """For the audit."""


@dataclass(frozen=True, slots=True)
class Persisted:
    """What became of the accepted orders of one round."""

    answered: int
    """Orders that wrk saw accepted."""
    reserved: int
    """Orders that Redis holds more than before the round."""
    in_ledger: int
    """Of them in the ledger when the waiting ended."""
    after_seconds: float
    """When the ledger was seen to have them all, or when the waiting ended."""


@dataclass(frozen=True, slots=True)
class Round:
    connections: int
    shots: Mapping[str, Shot]
    """By kind of request."""
    persisted: Persisted

    def problems(self) -> list[str]:
        """What makes the round's figures worthless, or a promise broken."""
        answered, reserved = self.persisted.answered, self.persisted.reserved
        checks = {
            # wrk ends without waiting: what was under way then is accepted and not counted.
            f"{answered} orders answered, {reserved} in Redis": not answered <= reserved <= answered + self.connections,
            f"{reserved} orders in Redis, {self.persisted.in_ledger} in the ledger": self.persisted.in_ledger != reserved,
        }
        return [*shot_problems(self.shots), *(words for words, wrong in checks.items() if wrong)]


def shot_problems(shots: Mapping[str, Shot]) -> list[str]:
    found = []
    for kind, shot in shots.items():
        if kind in REFUSED and shot.accepted:
            found.append(f"{kind}: {shot.accepted} were accepted")
        if kind not in REFUSED and shot.refused:
            found.append(f"{kind}: {shot.refused} were refused")
        if shot.broken:
            found.append(f"{kind}: {shot.broken} connections broke")
    return found


@dataclass(frozen=True, slots=True)
class Figure:
    """A rate beside the bare endpoint."""

    name: str
    connections: int
    per_second: float
    ratio: float
    bar: Bar | None
    p50_ms: float
    p99_ms: float
    p99_bar: Bar | None

    @property
    def reached(self) -> bool:
        return (self.bar is None or self.bar.reached(self.ratio)) and (self.p99_bar is None or self.p99_bar.reached(self.p99_ms))


def figures(rounds: Sequence[Round]) -> list[Figure]:
    return [figure for connections in sorted({one.connections for one in rounds}) for figure in _figures(rounds, connections)]


def _figures(rounds: Sequence[Round], connections: int) -> list[Figure]:
    ours = [one for one in rounds if one.connections == connections]
    bare = median(one.shots[BARE].per_second for one in ours)
    return [_figure(kind, connections, [one.shots[kind] for one in ours], bare) for kind in ours[0].shots]


def _figure(kind: str, connections: int, shots: Sequence[Shot], bare: float) -> Figure:
    rate = median(shot.per_second for shot in shots)
    p50_ms, p99_ms = median(shot.p50_ms for shot in shots), median(shot.p99_ms for shot in shots)
    at = (kind, connections)
    return Figure(kind, connections, rate, rate / bare, RATIO_BARS.get(at), p50_ms, p99_ms, P99_BARS.get(at))


def section_to_json(section: Section) -> dict[str, Any]:
    return {"title": section.title, "lines": [asdict(line) | {"reached": line.reached} for line in section.lines]}


def to_json(rounds: Sequence[Round]) -> dict[str, Any]:
    return {"figures": [asdict(figure) for figure in figures(rounds)], "rounds": [asdict(one) for one in rounds]}
