"""The dashboards' panels, asked as Grafana would ask them, of a real Prometheus."""

import time
from typing import NamedTuple

from observe.dashboards import RATE_INTERVAL, chosen_all, read_dashboard, substituted
from observe.prometheus import Prometheus

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


def unanswered(prometheus: Prometheus, asked: list[Question], seconds: float) -> list[Question]:
    """Those that have nothing to show, for as long as that."""
    deadline = time.monotonic() + seconds
    left = asked
    while left and time.monotonic() < deadline:
        left = [one for one in left if not prometheus.values(one.query)]
        time.sleep(0.5)
    return left
