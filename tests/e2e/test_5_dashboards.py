"""The Operator's dashboard, asked of a real Prometheus that scraped the operator in the cluster while FlashSales came, changed and went."""

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flashsale_core.keys import sale_keys
from tests.dashboards.panels import assert_answered, questions
from tests.e2e.kube import Namespace, flash_sale, until
from tools.dashboards.answers import Span, ask
from tools.dashboards.dashboards import read_dashboard
from tools.dashboards.prometheus import Prometheus, scraping

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
    """FlashSales of every phase that lasts; one is changed, one deleted, and one changed in Redis, behind the operator's back."""
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
    until(lambda: expected.items() <= shop.phases().items(), 20, f"FlashSales are {expected}")
    shop.patch("shown-live", stock=20)
    shop.kubectl("delete", "flashsale", "shown-gone", "--timeout=30s")
    until(lambda: shop.ready("shown-live"), 10, "Ready with 20 units")
    # Nothing but the sweep sees this.
    key = sale_keys("shown-live").sale
    shop.redis("HSET", key, "max_per_user", "99")
    until(lambda: shop.redis("HGET", key, "max_per_user") == "0", 10, "max_per_user is as the resource says")


def test_every_panel_has_something_to_show(watched: Prometheus) -> None:
    assert_answered(watched, questions(watched, BOARD), 15)


def test_flashsales_by_phase_are_those_of_the_cluster(shop: Namespace, watched: Prometheus) -> None:
    deadline = time.monotonic() + 15
    while (told := (shown(watched, "By phase"), shown(watched, "Stalled"))) != (listed := as_listed(shop)):
        assert time.monotonic() < deadline, f"the dashboard shows {told}, kubectl lists {listed}"
        time.sleep(1)


def as_listed(shop: Namespace) -> tuple[dict[str, int], dict[str, int]]:
    """What kubectl makes of both panels."""
    phases = Counter(shop.phases().values())
    return phases, {"stalled": phases["Stalled"]}


def test_the_dashboard_tells_what_woke_the_operator(watched: Prometheus) -> None:
    wanted = {"create Reconciled", "create WindowNotInstalled", "update Reconciled", "sweep Reconciled"}
    until(lambda: wanted <= shown(watched, "A second, by outcome").keys(), 10, f"lines named {wanted}")


def shown(prometheus: Prometheus, title: str) -> dict[str, float | None]:
    """A panel's lines, or its number, as they are now."""
    now = time.time()
    panels = ask(prometheus, read_dashboard(BOARD), Span(now, now), {})
    return {one.name: one.last for panel, series in panels if panel.title == title for one in series}
