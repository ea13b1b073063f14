"""`python -m tools.dashboards.generate`: write the dashboards of boards.py as JSON files that Grafana imports.

With --check it writes nothing and exits with 1 when a file differs from what would be written.
"""

import json
import math
import sys
from typing import Any

from tools import repository
from tools.dashboards.boards import DASHBOARDS, Dashboard, Panel

# The regular expression for All. ".*" also matches a missing label: without Kubernetes there is neither namespace nor release.
# `job` has no entry, because its All must name our jobs and not every process that Prometheus scrapes.
ALL_VALUES = {"namespace": {"allValue": ".*"}, "release": {"allValue": ".*"}, "instance": {"allValue": ".+"}, "sale": {"allValue": ".*"}}
# One at a time: numbers of two releases do not add up to anything.
NARROWED = ("namespace", "release")
# Without these, Grafana uses its own colors: red from 80 on.
PLAIN = {-math.inf: "blue"}
# Legend -> color of each line. Good news is green, and a line has the same color every day.
LINES = {
    "{{state}}": {"available": "green", "reserved": "yellow", "sold": "blue"},
    "{{outcome}}": {
        "accepted": "green", "replayed": "blue", "out_of_stock": "orange", "not_started": "yellow",
        "rate_limited": "purple", "user_limit": "dark-purple", "order_limit": "light-purple", "bad_request": "dark-orange",
        "too_many_forgeries": "light-orange",
        "internal": "red", "not_ready": "dark-red", "recovering": "dark-red", "outcome_unknown": "dark-red", "overloaded": "red",
        "outbox_lag": "red", "broker_away": "red",
    },
    "{{result}}": {"paid": "green", "replayed": "blue", "noted": "yellow", "refund_due": "red", "undecided": "orange"},
    "{{phase}}": {"Live": "green", "Scheduled": "blue", "SoldOut": "orange", "Paused": "yellow", "Ended": "purple", "Stalled": "red"},
}  # fmt: skip
TAG = "flashsale"
# In the head of each dashboard, with the time and the variables that are chosen.
OTHER_DASHBOARDS = {"type": "dashboards", "title": "Flashsale", "tags": [TAG], "asDropdown": False, "includeVars": True, "keepTime": True}
# The schema of dashboards in Grafana 10.
SCHEMA_VERSION = 38


def main() -> int:
    stale = False
    for dashboard in DASHBOARDS:
        path, text = repository.DASHBOARDS / f"{dashboard.name}.json", json.dumps(document(dashboard), indent=1) + "\n"
        if "--check" in sys.argv:
            stale |= not path.exists() or path.read_text() != text
        else:
            path.write_text(text)
    return int(stale)


def document(dashboard: Dashboard) -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    return {
        "uid": dashboard.name,
        "title": dashboard.title,
        "description": dashboard.about,
        "tags": [TAG],
        "links": [OTHER_DASHBOARDS],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "5s",
        "time": {"from": "now-15m", "to": "now"},
        "templating": {"list": _variables(dashboard)},
        "panels": _panels(dashboard),
    }


def _variables(dashboard: Dashboard) -> list[dict[str, Any]]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    queries = {
        "namespace": f"label_values({dashboard.namespace_of}, namespace)",
        "release": f'label_values({dashboard.namespace_of}{{namespace=~"$namespace"}}, app_kubernetes_io_instance)',
        "job": f"label_values({dashboard.services}, job)",
        "instance": f'label_values({dashboard.services.removesuffix("}")}, job=~"$job"}}, instance)',
        **dashboard.variables,
    }
    variables: list[dict[str, Any]] = [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}]
    for name, query in queries.items():
        variables.append({"name": name, "label": name.capitalize(), "type": "query", "datasource": source, "definition": query,
                      "query": {"query": query, "refId": name}, "refresh": 2, "sort": 1, "includeAll": True, "multi": name not in NARROWED,
                      **ALL_VALUES.get(name, {}), "current": {"text": "All", "value": "$__all"}})  # fmt: skip
    return variables


def _panels(dashboard: Dashboard) -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in dashboard.rows.items():
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "gridPos": {"h": 1, "w": 24, "x": 0, "y": y}, "panels": []})
        x, y, tallest = 0, y + 1, 0
        for panel in row:
            if x + panel.width > 24:
                x, y, tallest = 0, y + tallest, 0
            place = {"h": panel.height, "w": panel.width, "x": x, "y": y}
            panels.append(_panel(len(panels) + 1, panel, place))
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return panels


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    exemplars = panel.kind == "timeseries" and "histogram_quantile" in "".join(panel.queries.values())
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "gridPos": place,
        "datasource": source,
        "fieldConfig": {
            "defaults": _line_style(panel) if panel.kind == "timeseries" else _number_style(panel),
            "overrides": _colors(panel),
        },
        "options": _options(panel),
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": source, "expr": query, "legendFormat": legend, "exemplar": exemplars}
            for index, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def _range(panel: Panel) -> dict[str, Any]:
    return {"unit": panel.unit, "min": 0, **({"max": 1} if panel.unit == "percentunit" else {})}


def _line_style(panel: Panel) -> dict[str, Any]:
    stack = bool(panel.options.get("stack"))
    custom = {"fillOpacity": 20 if stack else 5, "showPoints": "never", "stacking": {"mode": "normal" if stack else "none"}}
    return {**_range(panel), "custom": custom}


def _number_style(panel: Panel) -> dict[str, Any]:
    steps = [{"color": color, "value": None if value == -math.inf else value} for value, color in (panel.colors or PLAIN).items()]
    texts = {str(value): {"text": text} for value, text in panel.words.items()}
    return {
        **_range(panel),
        "color": {"mode": "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
        "mappings": [{"type": "value", "options": texts}] if texts else [],
    }


def _colors(panel: Panel) -> list[dict[str, Any]]:
    fixed = {name: color for legend in panel.queries for name, color in LINES.get(legend, {}).items()}
    return [
        {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}]}
        for name, color in fixed.items()
    ]


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "timeseries":
        return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    sparkline = panel.options.get("sparkline", not panel.colors)
    return {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area" if sparkline else "none"}


if __name__ == "__main__":
    sys.exit(main())
