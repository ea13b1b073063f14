"""The rules of Grafana's dashboard linter, by the linter's own names, on the dashboards that the chart ships.

Its program is not needed: a rule is a sentence about the JSON. EXCEPTIONS has the reason for each place that differs.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tools.dashboards.reader import BOARDS
from tools.dashboards.units import WORDS
from tools.repository import DASHBOARDS

Board = dict[str, Any]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
EXCEPTIONS = {
    "template-job-rule: allValue": "All names our jobs: with .+ the CPU and memory of every scraped process would be shown",
    "target-counter-agg-rule: Lost entries": "the number since the keepers started is what a person acts on; a rate would hide it",
    "target-counter-agg-rule: Redis opened again": "recoveries are rare: their number is read, not their rate",
}


def panels(board: Board) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def targets(board: Board) -> Iterator[tuple[str, str]]:
    """(title of the panel, query)"""
    for panel in panels(board):
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def template(board: Board, name: str) -> dict[str, Any]:
    (match,) = [variable for variable in board["templating"]["list"] if variable["name"] == name]
    return dict(match)


def template_datasource(board: Board) -> Iterator[str]:
    variable = template(board, "datasource")
    if (variable["type"], variable["query"], variable["label"]) != ("datasource", "prometheus", "Data source"):
        yield "datasource"


def _template_of(name: str) -> Callable[[Board], Iterator[str]]:
    def rule(board: Board) -> Iterator[str]:
        variable = template(board, name)
        wanted = {"datasource": SOURCE, "label": name.capitalize(), "type": "query", "multi": True, "includeAll": True, "allValue": ".+"}
        yield from (field for field, value in wanted.items() if variable.get(field) != value)

    return rule


def template_on_time_change_reload(board: Board) -> Iterator[str]:
    yield from (variable["name"] for variable in board["templating"]["list"] if variable["type"] == "query" and variable["refresh"] != 2)


def panel_datasource(board: Board) -> Iterator[str]:
    yield from (panel["title"] for panel in panels(board) if any(part["datasource"] != SOURCE for part in (panel, *panel["targets"])))


def panel_title_description(board: Board) -> Iterator[str]:
    yield from (panel["title"] for panel in panels(board) if not (panel["title"] and panel["description"]))


def panel_units(board: Board) -> Iterator[str]:
    yield from (panel["title"] for panel in panels(board) if panel["fieldConfig"]["defaults"].get("unit") not in WORDS)


def panel_no_targets(board: Board) -> Iterator[str]:
    yield from (panel["title"] for panel in panels(board) if not panel["targets"])


def target_rate_interval(board: Board) -> Iterator[str]:
    for title, query in targets(board):
        if any(window != "$__rate_interval" for window in re.findall(r"(?:rate|increase)\([^\[\]]*\[([^\]]+)\]", query)):
            yield title


def _target_matcher(label: str) -> Callable[[Board], Iterator[str]]:
    def rule(board: Board) -> Iterator[str]:
        for title, query in targets(board):
            selectors = re.findall(r"\{([^{}]*)\}", query)
            if not selectors or any(f'{label}=~"${label}"' not in selector for selector in selectors):
                yield title

    return rule


def target_counter_agg(board: Board) -> Iterator[str]:
    for title, query in targets(board):
        aggregated = re.sub(r"rate\([^\[\]]*\[[^\]]+\]\)", "", query)
        # The comparison with 0 only leaves out what never occurred.
        if re.search(r"_total\{[^{}]*\}\)(?! > 0)", aggregated):
            yield title


def uneditable_dashboard(board: Board) -> Iterator[str]:
    if board["editable"]:
        yield "editable"


RULES: dict[str, Callable[[Board], Iterator[str]]] = {
    "template-datasource-rule": template_datasource,
    "template-job-rule": _template_of("job"),
    "template-instance-rule": _template_of("instance"),
    "template-on-time-change-reload-rule": template_on_time_change_reload,
    "panel-datasource-rule": panel_datasource,
    "panel-title-description-rule": panel_title_description,
    "panel-units-rule": panel_units,
    "panel-no-targets-rule": panel_no_targets,
    "target-rate-interval-rule": target_rate_interval,
    "target-job-rule": _target_matcher("job"),
    "target-instance-rule": _target_matcher("instance"),
    "target-counter-agg-rule": target_counter_agg,
    "uneditable-dashboard": uneditable_dashboard,
}
"""template-label-promql-rule and target-promql-rule, which parse queries, are Prometheus' own work in tests/dashboards."""


def board(name: str) -> Board:
    return dict(json.loads((DASHBOARDS / f"flashsale-{name}.json").read_text()))


def findings(name: str, rule: str) -> set[str]:
    return {f"{rule}: {place}" for place in RULES[rule](board(name))}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", BOARDS)
def test_dashboard_follows_the_linter(name: str, rule: str) -> None:
    assert findings(name, rule) - EXCEPTIONS.keys() == set()


def test_every_exception_is_needed() -> None:
    assert {finding for name in BOARDS for rule in RULES for finding in findings(name, rule)} == set(EXCEPTIONS)


@pytest.mark.parametrize(
    ("rule", "query"),
    [
        ("target-job-rule", 'sum(flashsale_up{namespace=~"$namespace", instance=~"$instance"})'),
        ("target-instance-rule", 'sum(flashsale_up{namespace=~"$namespace", job=~"$job"})'),
        ("target-rate-interval-rule", 'rate(flashsale_x_total{job=~"$job"}[5m])'),
        ("target-counter-agg-rule", 'sum(flashsale_x_total{job=~"$job"})'),
    ],
)
def test_query_that_breaks_a_rule_is_seen(rule: str, query: str) -> None:
    broken = board("engine")
    broken["panels"] = [{"type": "stat", "title": "broken", "targets": [{"expr": query}]}]
    assert list(RULES[rule](broken)) == ["broken"]
