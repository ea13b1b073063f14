"""The JSON file of a result: what the benches write and what the plots read. Pure; a missing part is read as empty."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tools.bench.measurements import (
    ACCEPTED,
    BARE,
    RATE_LIMITED,
    RAW,
    REPLAYED,
    SOLD_OUT,
    Measurement,
    RateSummary,
    Round,
    Section,
    Target,
    summarize_rates,
)

KINDS = (BARE, RAW, ACCEPTED, SOLD_OUT, REPLAYED, RATE_LIMITED)
"""In the order of drawing."""
PATTERN = "bench-full-*.json"
SHARE_MAX = 3.0


@dataclass(frozen=True, slots=True)
class FullResult:
    """A result of `tools.bench.full`."""

    at: str
    machine: Mapping[str, str]
    rates: Sequence[RateSummary]
    sections: Sequence[Section]

    @property
    def machine_line(self) -> str:
        """The machine and the date, in one line."""
        cpus, cpu, system, python = (self.machine.get(name, "unknown") for name in ("cpus", "cpu", "system", "python"))
        return f"{cpus} cores ({cpu}), {system}, Python {python}, load generator included · {self.at[:10]}"

    @property
    def connections(self) -> list[int]:
        return sorted({rate.connections for rate in self.rates})

    @property
    def kinds(self) -> list[str]:
        return [kind for kind in KINDS if any(rate.kind == kind for rate in self.rates)]

    def rate(self, kind: str, connections: int) -> RateSummary | None:
        return next((rate for rate in self.rates if (rate.kind, rate.connections) == (kind, connections)), None)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A value and the target it is compared with."""

    name: str
    value: float
    unit: str
    target: Target

    @property
    def share(self) -> float:
        """1 or more: the target is reached, whether it is a minimum or a maximum. SHARE_MAX at most."""
        above, below = (self.value, self.target.limit) if self.target.at_least else (self.target.limit, self.value)
        return min(SHARE_MAX, above / below) if below > 0 else SHARE_MAX

    @property
    def reached(self) -> bool:
        return self.target.reached(self.value)


def newest(folder: Path) -> Path | None:
    """File names contain the time."""
    return max(folder.glob(PATTERN), default=None)


def read_result(path: Path) -> FullResult:
    return from_json(json.loads(path.read_text()))


def from_json(document: Mapping[str, Any]) -> FullResult:
    rates = [_read_rate(fields) for fields in document.get("figures", ())]
    sections = [
        Section(fields["title"], [_read_measurement(line) for line in fields.get("lines", ())]) for fields in document.get("sections", ())
    ]
    return FullResult(document.get("at", ""), document.get("machine", {}), rates, sections)


def rounds_to_json(rounds: Sequence[Round]) -> dict[str, Any]:
    return {"figures": [_rate_to_json(rate) for rate in summarize_rates(rounds)], "rounds": [_round_to_json(each) for each in rounds]}


def section_to_json(section: Section) -> dict[str, Any]:
    return {"title": section.title, "lines": [_measurement_to_json(measurement) for measurement in section.measurements]}


def verdicts(result: FullResult) -> list[Verdict]:
    """Everything that has a target: rates and response times first, then the sections' measurements."""
    listed = []
    for rate in sorted(result.rates, key=lambda rate: (_order(rate.kind), rate.connections)):
        where = f"{rate.kind}, {rate.connections} connections"
        listed += [Verdict(f"{where}, compared with bare Starlette", rate.ratio, "times", rate.target)] if rate.target else []
        listed += [Verdict(f"{where}, p99", rate.p99_ms, "ms", rate.p99_target)] if rate.p99_target else []
    measurements = [measurement for section in result.sections for measurement in section.measurements]
    return listed + [Verdict(each.name, each.value, each.unit, each.target) for each in measurements if each.target]


def by_constant_rate(result: FullResult) -> list[Mapping[str, float]]:
    """The numbers of the open loop, one mapping for each constant rate, the lowest rate first."""
    numbers = [each.extra for section in result.sections for each in section.measurements if "per_second" in each.extra]
    return sorted(numbers, key=lambda extra: extra["per_second"])


def _order(kind: str) -> int:
    return KINDS.index(kind) if kind in KINDS else len(KINDS)


# The names below are those of the files. They stay, so that the plots read old results.
def _rate_to_json(rate: RateSummary) -> dict[str, Any]:
    fields = asdict(rate)
    return {
        "name": fields["kind"],
        "connections": fields["connections"],
        "per_second": fields["per_second"],
        "ratio": fields["ratio"],
        "bar": fields["target"],
        "p50_ms": fields["p50_ms"],
        "p99_ms": fields["p99_ms"],
        "p99_bar": fields["p99_target"],
    }


def _round_to_json(each: Round) -> dict[str, Any]:
    fields = asdict(each)
    return {"connections": fields["connections"], "shots": fields["results"], "persisted": fields["persisted"]}


def _measurement_to_json(measurement: Measurement) -> dict[str, Any]:
    fields = asdict(measurement)
    return {
        "name": fields["name"],
        "value": fields["value"],
        "unit": fields["unit"],
        "bar": fields["target"],
        "words": fields["details"],
        "also": fields["extra"],
        "reached": measurement.reached,
    }


def _read_rate(fields: Mapping[str, Any]) -> RateSummary:
    target, p99_target = _read_target(fields.get("bar")), _read_target(fields.get("p99_bar"))
    numbers = (fields["per_second"], fields["ratio"], target, fields["p50_ms"], fields["p99_ms"], p99_target)
    return RateSummary(fields["name"], fields["connections"], *numbers)


def _read_measurement(fields: Mapping[str, Any]) -> Measurement:
    texts = (fields.get("words", ""), fields.get("also", {}))
    return Measurement(fields["name"], fields["value"], fields.get("unit", ""), _read_target(fields.get("bar")), *texts)


def _read_target(fields: Mapping[str, Any] | None) -> Target | None:
    return None if fields is None else Target(fields["limit"], fields["at_least"])
