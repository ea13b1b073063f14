"""The operator's dashboard on a real Prometheus that scraped the operator while FlashSales were created, changed and deleted."""

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flashsale_core.keys import sale_keys
from tests.dashboards.panels import assert_answered, questions
from tests.e2e.kube import Namespace, flash_sale, until
from tools.dashboards.panel_data import TimeRange, query_panels
from tools.dashboards.prometheus import Prometheus, scraping
from tools.dashboards.reader import read_dashboard

PROBE_PORT = 9103
BOARD = "operator"


@pytest.fixture(scope="module")
def watched(shop: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    (pod,) = shop.pods("operator")
    with (
        shop.forwarded(pod["metadata"]["name"], PROBE_PORT) as address,
        scraping(tmp_path_factory.mktemp("prometheus"), {"operator": address}) as prometheus,
    ):
        keep_the_operator_busy(shop)
        yield prometheus


def keep_the_operator_busy(shop: Namespace) -> None:
    """Create FlashSales in every lasting phase; change one, delete one, and change the sale of one in Redis without the operator."""
    past, later = ((datetime.now(UTC) + timedelta(hours=hours)).isoformat(timespec="seconds") for hours in (-1, 1))
    specs: dict[str, dict[str, Any]] = {
        "Live": {},
        "Scheduled": {"startsAt": later},
        "Paused": {"paused": True},
        "SoldOut": {"stock": 0},
        "Ended": {"endsAt": past},
        "Stalled": {"paymentWindowSeconds": 61},
    }
    usual = {"stock": 10, "paymentWindowSeconds": 60}
    expected = {f"shown-{phase.lower()}": phase for phase in specs}
    shop.apply(*(flash_sale(name, **usual | specs[phase]) for name, phase in expected.items()), flash_sale("shown-gone", **usual))
    until(lambda: expected.items() <= shop.phases().items(), 20, f"the phases of the FlashSales are {expected}")
    shop.patch("shown-live", stock=20)
    shop.kubectl("delete", "flashsale", "shown-gone", "--timeout=120s")
    until(lambda: shop.ready("shown-live"), 10, "Ready with 20 units")
    # Only the sweep notices this change.
    key = sale_keys("shown-live").sale
    shop.redis("HSET", key, "max_per_user", "99")
    until(lambda: shop.redis("HGET", key, "max_per_user") == "0", 10, "max_per_user matches the resource")


def test_every_panel_has_data(watched: Prometheus) -> None:
    assert_answered(watched, questions(watched, BOARD), 15)


def test_panels_show_the_phases_that_kubectl_lists(shop: Namespace, watched: Prometheus) -> None:
    deadline = time.monotonic() + 15
    while (panels := (shown(watched, "FlashSales by phase"), shown(watched, "Stalled"))) != (listed := as_listed(shop)):
        assert time.monotonic() < deadline, f"the dashboard shows {panels}, kubectl lists {listed}"
        time.sleep(1)


def as_listed(shop: Namespace) -> tuple[dict[str, int], dict[str, int]]:
    """The content of both panels, computed from kubectl's list."""
    phases = Counter(shop.phases().values())
    return phases, {"stalled": phases["Stalled"]}


def test_dashboard_shows_the_causes_of_reconciliations(watched: Prometheus) -> None:
    wanted = {"watch Reconciled", "watch WindowNotInstalled", "sweep Reconciled"}
    until(lambda: wanted <= shown(watched, "Reconciliations per second, by outcome").keys(), 10, f"lines named {wanted}")


def shown(prometheus: Prometheus, title: str) -> dict[str, float | None]:
    """The current values of a panel, by the name of the line."""
    now = time.time()
    panels = query_panels(prometheus, read_dashboard(BOARD), TimeRange(now, now), {})
    return {line.name: line.last for panel, lines in panels if panel.title == title for line in lines}
