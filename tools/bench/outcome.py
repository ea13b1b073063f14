"""A result of `tools.bench.full` as its JSON file has it, and what the plots make of it. Pure; a part that is missing is empty."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.bench.figures import ACCEPTED, BARE, RATE_LIMITED, RAW, REPLAYED, SOLD_OUT, Bar, Figure, Line, Section

KINDS = (BARE, RAW, ACCEPTED, SOLD_OUT, REPLAYED, RATE_LIMITED)
"""In the order they are drawn in."""
PATTERN = "bench-full-*.json"
SHARE_MAX = 3.0


@dataclass(frozen=True, slots=True)
class Outcome:
    at: str
    machine: Mapping[str, str]
    figures: Sequence[Figure]
    sections: Sequence[Section]

    @property
    def where(self) -> str:
        """The machine in one line."""
        named = ("cpus", "cpu", "system", "python")
        cpus, cpu, system, python = (self.machine.get(name, "unknown") for name in named)
        return f"{cpus} cores ({cpu}), {system}, Python {python}, load generator included · {self.at[:10]}"

    @property
    def connections(self) -> list[int]:
        return sorted({figure.connections for figure in self.figures})

    @property
    def kinds(self) -> list[str]:
        return [kind for kind in KINDS if any(figure.name == kind for figure in self.figures)]

    def figure(self, kind: str, connections: int) -> Figure | None:
        return next((one for one in self.figures if (one.name, one.connections) == (kind, connections)), None)


@dataclass(frozen=True, slots=True)
class Measured:
    """Something that is held against a bar."""

    name: str
    value: float
    unit: str
    bar: Bar

    @property
    def share(self) -> float:
        """Of the bar: from 1 on it is reached, whichever way the bar goes. SHARE_MAX at most."""
        above, below = (self.value, self.bar.limit) if self.bar.at_least else (self.bar.limit, self.value)
        return min(SHARE_MAX, above / below) if below > 0 else SHARE_MAX

    @property
    def reached(self) -> bool:
        return self.bar.reached(self.value)


def newest(folder: Path) -> Path | None:
    """Names carry the time."""
    return max(folder.glob(PATTERN), default=None)


def read_outcome(path: Path) -> Outcome:
    return from_json(json.loads(path.read_text()))


def from_json(document: Mapping[str, Any]) -> Outcome:
    figures = [_figure(one) for one in document.get("figures", ())]
    sections = [Section(one["title"], [_line(line) for line in one.get("lines", ())]) for one in document.get("sections", ())]
    return Outcome(document.get("at", ""), document.get("machine", {}), figures, sections)


def measured(outcome: Outcome) -> list[Measured]:
    """All that has a bar: rates and latencies first, then the sections' lines."""
    found = []
    for one in sorted(outcome.figures, key=lambda one: (_order(one.name), one.connections)):
        where = f"{one.name}, {one.connections} connections"
        found += [Measured(f"{where}, beside bare", one.ratio, "", one.bar)] if one.bar else []
        found += [Measured(f"{where}, p99", one.p99_ms, "ms", one.p99_bar)] if one.p99_bar else []
    lines = [line for section in outcome.sections for line in section.lines]
    return found + [Measured(line.name, line.value, line.unit, line.bar) for line in lines if line.bar]


def by_rate(outcome: Outcome) -> list[Mapping[str, float]]:
    """Of the open loop: what each constant rate came to, the lowest first."""
    found = [line.also for section in outcome.sections for line in section.lines if "per_second" in line.also]
    return sorted(found, key=lambda also: also["per_second"])


def _order(kind: str) -> int:
    return KINDS.index(kind) if kind in KINDS else len(KINDS)


def _figure(one: Mapping[str, Any]) -> Figure:
    numbers = (one["per_second"], one["ratio"], _bar(one.get("bar")), one["p50_ms"], one["p99_ms"], _bar(one.get("p99_bar")))
    return Figure(one["name"], one["connections"], *numbers)


def _line(one: Mapping[str, Any]) -> Line:
    return Line(one["name"], one["value"], one.get("unit", ""), _bar(one.get("bar")), one.get("words", ""), one.get("also", {}))


def _bar(one: Mapping[str, Any] | None) -> Bar | None:
    return None if one is None else Bar(one["limit"], one["at_least"])
