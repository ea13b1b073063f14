"""Asks a real Prometheus the queries of the dashboards' panels, as Grafana would."""

import time
from typing import NamedTuple
from urllib.error import HTTPError

from tools.dashboards.prometheus import Prometheus
from tools.dashboards.reader import RATE_INTERVAL, chosen_all, read_dashboard, substituted

RATE_SECONDS = 15


class Question(NamedTuple):
    dashboard: str
    title: str
    query: str


def questions(prometheus: Prometheus, *names: str) -> list[Question]:
    """Every query of every panel of these dashboards, with the variables at All."""
    listed = []
    for name in names:
        dashboard = read_dashboard(name)
        values = chosen_all(dashboard.variables, prometheus.label_values) | {RATE_INTERVAL: f"{RATE_SECONDS}s"}
        listed += [Question(name, panel.title, substituted(target.query, values)) for panel in dashboard.panels for target in panel.targets]
    return listed


def assert_answered(prometheus: Prometheus, asked: list[Question], seconds: float) -> None:
    """Every query returns a value within `seconds`."""
    assert asked
    deadline = time.monotonic() + seconds
    left = asked
    while left and time.monotonic() < deadline:
        left = [question for question in left if not _answered(prometheus, question.query)]
        time.sleep(0.5)
    lines = [f"{question.dashboard}, panel {question.title}: {question.query}" for question in left]
    assert not left, "no data:\n" + "\n".join(lines)


def _answered(prometheus: Prometheus, query: str) -> bool:
    try:
        return prometheus.values(query) != []
    except HTTPError:
        # A malformed query is listed with the empty ones.
        return False
