"""Reads the dashboards' files as Grafana does: panels, variables, and the values in a query and a legend. generate.py writes the files."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tools.repository import DASHBOARDS

BOARDS = ("sale", "engine", "operator")
RATE_INTERVAL = "$__rate_interval"
ALL = ".*"
LabelValues = Callable[[str, str], Sequence[str]]
"""(selector, label) -> values that Prometheus has."""


@dataclass(frozen=True, slots=True)
class Place:
    """A panel's place, in cells of Grafana's grid of 24 columns."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Target:
    query: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    kind: str
    place: Place
    unit: str = ""
    stacked: bool = False
    colors: tuple[tuple[float, str], ...] = ()
    """(value, color of a big number from this value on)"""
    mapped: Mapping[str, str] = field(default_factory=dict)
    """Number -> the text that is shown instead."""
    sparkline: bool = False
    fixed: Mapping[str, str] = field(default_factory=dict)
    """Name of a line -> its color. Other lines take theirs from the palette."""
    targets: tuple[Target, ...] = ()


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    selector: str
    label: str
    all_value: str
    """The regular expression for All. Empty: all values that Prometheus has."""


@dataclass(frozen=True, slots=True)
class Dashboard:
    title: str
    panels: tuple[Panel, ...]
    variables: tuple[Variable, ...]

    @property
    def height(self) -> int:
        """In cells."""
        return max(panel.place.y + panel.place.height for panel in self.panels)


def read_dashboard(name: str) -> Dashboard:
    document = json.loads((DASHBOARDS / f"flashsale-{name}.json").read_text())
    variables = [_variable(fields) for fields in document["templating"]["list"] if fields["type"] == "query"]
    return Dashboard(document["title"], tuple(map(_panel, document["panels"])), tuple(variables))


def chosen_all(variables: Sequence[Variable], label_values: LabelValues) -> dict[str, str]:
    """`$name` -> the regular expression for All. The query of a variable may use the variables before it."""
    chosen: dict[str, str] = {}
    for variable in variables:
        values = label_values(substituted(variable.selector, chosen), variable.label)
        chosen[f"${variable.name}"] = variable.all_value or f"({'|'.join(map(_escaped, values))})"
    return chosen


def substituted(query: str, values: Mapping[str, str]) -> str:
    # The longest name first: a name may begin with another one.
    for name in sorted(values, key=len, reverse=True):
        query = query.replace(name, values[name])
    return query


def legend(template: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{\s*(\w+)\s*}}", lambda match: labels.get(match[1], ""), template)


def _escaped(value: str) -> str:
    """Escape for a regular expression inside a PromQL string, where each backslash is written twice."""
    return re.sub(r"[\\^$.*+?()|{}\[\]]", r"\\\\\g<0>", value)


def color_of(panel: Panel, value: float) -> str:
    """The color of a big number, or "" when the panel defines no color."""
    return next((color for least, color in reversed(panel.colors) if value >= least), "")


def _panel(fields: Mapping[str, Any]) -> Panel:
    grid, config = fields["gridPos"], fields.get("fieldConfig", {})
    defaults = config.get("defaults", {})
    place = Place(grid["x"], grid["y"], grid["w"], grid["h"])
    stacked = defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal"
    steps = defaults.get("thresholds", {}).get("steps", ())
    colors = tuple((-math.inf if step["value"] is None else step["value"], step["color"]) for step in steps)
    targets = tuple(Target(target["expr"], target["legendFormat"]) for target in fields.get("targets", ()))
    mapped = {value: shown["text"] for mapping in defaults.get("mappings", ()) for value, shown in mapping["options"].items()}
    sparkline = fields.get("options", {}).get("graphMode") == "area"
    fixed = {override["matcher"]["options"]: override["properties"][0]["value"]["fixedColor"] for override in config.get("overrides", ())}
    return Panel(fields["title"], fields["type"], place, defaults.get("unit", ""), stacked, colors, mapped, sparkline, fixed, targets)


def _variable(fields: Mapping[str, Any]) -> Variable:
    """Raises ValueError when the query is not label_values(selector, label)."""
    match = re.fullmatch(r"label_values\((.+), (\w+)\)", fields["definition"])
    if match is None:
        raise ValueError(f"variable {fields['name']}: {fields['definition']}")
    return Variable(fields["name"], match[1], match[2], fields.get("allValue") or "")
