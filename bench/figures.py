"""What a bench has measured: medians, ratios, and the aims they are held against. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from types import MappingProxyType
from typing import Any

from bench.wrk import Shot

AIMS: Mapping[tuple[str, int], float] = MappingProxyType(
    {("accepted", 64): 0.6, ("accepted", 512): 0.85, ("sold out", 64): 1.0, ("sold out", 512): 1.0},
)
"""Rate of the gateway beside that of the bare endpoint, by what is asked and the number of connections."""


@dataclass(frozen=True, slots=True)
class Persisted:
    """What became of the accepted orders of one round."""

    answered: int
    """Orders that wrk saw accepted."""
    reserved: int
    """Orders that Redis holds more than before the round."""
    in_ledger: int
    """Of them in the ledger, PERSIST_SECONDS after the end of the load at the latest."""
    after_seconds: float
    """When the ledger was seen to have them all, or when the waiting ended."""


@dataclass(frozen=True, slots=True)
class Round:
    connections: int
    bare: Shot
    accepted: Shot
    sold_out: Shot
    persisted: Persisted

    def problems(self) -> list[str]:
        """What makes the round's figures worthless, or a promise broken."""
        answered, reserved = self.persisted.answered, self.persisted.reserved
        checks = {
            f"{self.bare.refused} requests of the bare endpoint failed": self.bare.refused,
            f"{self.accepted.refused} orders were not accepted": self.accepted.refused,
            f"{self.sold_out.accepted} orders of a sold-out sale were accepted": self.sold_out.accepted,
            # wrk ends without waiting: what was under way then is accepted and not counted.
            f"{answered} orders answered, {reserved} in Redis": not answered <= reserved <= answered + self.connections,
            f"{reserved} orders in Redis, {self.persisted.in_ledger} in the ledger": self.persisted.in_ledger != reserved,
        }
        broken = sum(shot.broken for shot in (self.bare, self.accepted, self.sold_out))
        return [words for words, wrong in {**checks, f"{broken} connections broke": broken}.items() if wrong]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the result."""

    name: str
    connections: int
    per_second: float
    ratio: float
    aim: float | None
    p50_ms: float
    p99_ms: float

    @property
    def reached(self) -> bool:
        return self.aim is None or self.ratio >= self.aim


def figures(rounds: Sequence[Round]) -> list[Figure]:
    return [figure for connections in sorted({one.connections for one in rounds}) for figure in _figures(rounds, connections)]


def _figures(rounds: Sequence[Round], connections: int) -> list[Figure]:
    ours = [one for one in rounds if one.connections == connections]
    bare = median(one.bare.per_second for one in ours)
    shots = {
        "bare Starlette": [one.bare for one in ours],
        "accepted": [one.accepted for one in ours],
        "sold out": [one.sold_out for one in ours],
    }
    return [_figure(name, connections, found, bare) for name, found in shots.items()]


def _figure(name: str, connections: int, shots: Sequence[Shot], bare: float) -> Figure:
    rate = median(shot.per_second for shot in shots)
    latencies = median(shot.p50_ms for shot in shots), median(shot.p99_ms for shot in shots)
    return Figure(name, connections, rate, rate / bare, AIMS.get((name, connections)), *latencies)


def to_json(rounds: Sequence[Round]) -> dict[str, Any]:
    return {"figures": [asdict(figure) for figure in figures(rounds)], "rounds": [asdict(one) for one in rounds]}
