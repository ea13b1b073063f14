"""Every query of the dashboards, asked of a real Prometheus that scraped a real sale. The alerts stay quiet."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from flashsale_local_stack import Stack
from tests.dashboards.panels import assert_answered, questions
from tests.integration.client import Client
from tools.dashboards.prometheus import Prometheus, scraping, stack_targets
from tools.dashboards.reader import BOARDS
from tools.docs.metrics import registered
from tools.repository import DASHBOARDS, ROOT, RULES


@pytest.fixture(scope="module")
def watched(stack: Stack, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scraped a sale with buyers who pay, cancel, come too late or forget to pay."""
    with scraping(tmp_path_factory.mktemp("prometheus"), stack_targets(stack.env())) as prometheus:
        sale = client.new_sale(10, paymentWindowSeconds=5)
        # Twice, with a scrape in between: the first value of a counter is not an increase.
        for turn in range(2):
            orders = [client.order(sale, f"u{turn}-{number}").body["orderId"] for number in range(5)]
            client.pay(orders[0], f"p{turn}")
            client.pay(f"{sale}.{'0' * 20}", f"unknown{turn}")
            client.send("DELETE", f"/orders/{orders[1]}")
            client.order(sale, f"late{turn}", quantity=10)
            time.sleep(2.5)
        time.sleep(4)
        yield prometheus


def test_every_panel_has_data(watched: Prometheus) -> None:
    assert_answered(watched, questions(watched, "sale", "engine"), 10)


def test_no_alert_fires_in_a_healthy_sale(watched: Prometheus) -> None:
    # This Prometheus scrapes one of each service that a sale needs.
    alerts = [
        alert
        for alert in watched.ask("/api/v1/alerts")["alerts"]
        if alert["labels"].get("service") not in ("operator", "ledger-api", "notifier", "storefront", "console")
        and not alert["labels"]["alertname"].endswith("ReplicaMissing")
    ]
    assert [(alert["labels"]["alertname"], alert["state"]) for alert in alerts] == []
    rules = watched.ask("/api/v1/rules")["groups"][0]["rules"]
    assert {rule["health"] for rule in rules} == {"ok"}


def test_dashboard_shows_the_stock_of_the_sale(watched: Prometheus, client: Client) -> None:
    shown = {question.title: question.query for question in questions(watched, "sale")}
    stock = [client.stock(sale["productId"]) for sale in client.get("/sales").body["sales"]]
    for title, index in (("Available", 1), ("Waiting for payment", 2), ("Sold", 3)):
        deadline = time.monotonic() + 10
        while watched.values(shown[title]) != [sum(counts[index] for counts in stock)]:
            assert time.monotonic() < deadline, (title, watched.values(shown[title]), stock)
            time.sleep(0.5)


def test_dashboards_and_rules_name_existing_metrics() -> None:
    known = {name for metric in registered() for name in (metric, *(f"{metric}_{part}" for part in ("total", "bucket", "sum", "count")))}
    for text in (RULES.read_text(), *(path.read_text() for path in DASHBOARDS.glob("*.json"))):
        names = set(re.findall(r"flashsale_[a-z_]+(?=[{\[])", text))
        assert names
        assert names <= known


@pytest.mark.parametrize("generator", ["tools.dashboards.generate", "tools.docs.metrics"])
def test_generated_file_is_up_to_date(generator: str) -> None:
    done = subprocess.run([sys.executable, "-m", generator, "--check"], cwd=ROOT, timeout=30, check=False)
    assert done.returncode == 0, f"run: .venv/bin/python -m {generator}"


def test_metrics_page_has_every_metric() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    listed = set(re.findall(r"^\| `(flashsale_\w+?)(?:_total)?` ", page, re.MULTILINE))
    assert listed == registered()


@pytest.mark.parametrize("name", BOARDS)
def test_panels_neither_overlap_nor_leave_the_grid(name: str) -> None:
    dashboard = json.loads((DASHBOARDS / f"flashsale-{name}.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers)
