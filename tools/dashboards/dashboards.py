"""The dashboards as Grafana reads them: panels, variables, and what it makes of a query and a legend. Pure."""

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
"""(selector, label) -> values, as Prometheus knows them."""


@dataclass(frozen=True, slots=True)
class Place:
    """In cells of Grafana's grid of 24 columns."""

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
    """From which value on a big number has which color."""
    mapped: Mapping[str, str] = field(default_factory=dict)
    """What is said instead of a number."""
    sparkline: bool = False
    fixed: Mapping[str, str] = field(default_factory=dict)
    """Colors of lines by name; the others have the palette's."""
    targets: tuple[Target, ...] = ()


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    selector: str
    label: str
    all_value: str
    """What All stands for; empty: whatever values there are."""


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
    variables = [_variable(one) for one in document["templating"]["list"] if one["type"] == "query"]
    return Dashboard(document["title"], tuple(map(_panel, document["panels"])), tuple(variables))


def chosen_all(variables: Sequence[Variable], label_values: LabelValues) -> dict[str, str]:
    """Each variable at All. One may be asked for with those before it in its query."""
    chosen: dict[str, str] = {}
    for variable in variables:
        values = label_values(substituted(variable.selector, chosen), variable.label)
        chosen[f"${variable.name}"] = variable.all_value or f"({'|'.join(map(_escaped, values))})"
    return chosen


def substituted(query: str, values: Mapping[str, str]) -> str:
    # The longest first: one name may begin another.
    for name in sorted(values, key=len, reverse=True):
        query = query.replace(name, values[name])
    return query


def legend(template: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{\s*(\w+)\s*}}", lambda found: labels.get(found[1], ""), template)


def _escaped(value: str) -> str:
    """For a regex inside a string of PromQL, where a backslash is two."""
    return re.sub(r"[\\^$.*+?()|{}\[\]]", r"\\\\\g<0>", value)


def color_of(panel: Panel, value: float) -> str:
    """Of a big number; empty when the panel does not say."""
    return next((color for least, color in reversed(panel.colors) if value >= least), "")


def _panel(one: Mapping[str, Any]) -> Panel:
    grid, config = one["gridPos"], one.get("fieldConfig", {})
    defaults = config.get("defaults", {})
    place = Place(grid["x"], grid["y"], grid["w"], grid["h"])
    stacked = defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal"
    steps = defaults.get("thresholds", {}).get("steps", ())
    colors = tuple((-math.inf if step["value"] is None else step["value"], step["color"]) for step in steps)
    targets = tuple(Target(target["expr"], target["legendFormat"]) for target in one.get("targets", ()))
    mapped = {value: said["text"] for mapping in defaults.get("mappings", ()) for value, said in mapping["options"].items()}
    sparkline = one.get("options", {}).get("graphMode") == "area"
    fixed = {override["matcher"]["options"]: override["properties"][0]["value"]["fixedColor"] for override in config.get("overrides", ())}
    return Panel(one["title"], one["type"], place, defaults.get("unit", ""), stacked, colors, mapped, sparkline, fixed, targets)


def _variable(one: Mapping[str, Any]) -> Variable:
    """Raises ValueError on a query that is no label_values(selector, label)."""
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", one["definition"])
    if found is None:
        raise ValueError(f"variable {one['name']}: {one['definition']}")
    return Variable(one["name"], found[1], found[2], one.get("allValue") or "")
