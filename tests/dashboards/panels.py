"""The dashboards' panels, asked as Grafana would ask them, of a real Prometheus."""

import time
from typing import NamedTuple
from urllib.error import HTTPError

from tools.dashboards.dashboards import RATE_INTERVAL, chosen_all, read_dashboard, substituted
from tools.dashboards.prometheus import Prometheus

RATE_SECONDS = 15


class Question(NamedTuple):
    dashboard: str
    title: str
    query: str


def questions(prometheus: Prometheus, *names: str) -> list[Question]:
    """Every query of every panel of these dashboards, with their variables at All."""
    found = []
    for name in names:
        dashboard = read_dashboard(name)
        values = chosen_all(dashboard.variables, prometheus.label_values) | {RATE_INTERVAL: f"{RATE_SECONDS}s"}
        found += [Question(name, panel.title, substituted(target.query, values)) for panel in dashboard.panels for target in panel.targets]
    return found


def assert_answered(prometheus: Prometheus, asked: list[Question], seconds: float) -> None:
    """Each has something to show within that time."""
    assert asked
    deadline = time.monotonic() + seconds
    left = asked
    while left and time.monotonic() < deadline:
        left = [one for one in left if not _answered(prometheus, one.query)]
        time.sleep(0.5)
    assert not left, "nothing to show:\n" + "\n".join(f"{one.dashboard}, panel {one.title}: {one.query}" for one in left)


def _answered(prometheus: Prometheus, query: str) -> bool:
    try:
        return prometheus.values(query) != []
    except HTTPError:
        # It is malformed: named with those that are empty.
        return False
