"""The HTML report of `flashsale load` in a real browser: it opens from disk, passes axe, and says what the JSON says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from flashsale_local_stack import Stack
from tests.browser.pages import EachView, axe, open_page, scrolls_sideways
from tests.integration.client import Client

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

CROWD = ("--buyers", "400", "--connections", "50", "--replays", "0.1", "--over-limit", "0.1", "--rubbish", "0.1")
TABLE = """
caption => [...document.querySelectorAll("table")].filter(table => table.caption.textContent.endsWith(caption))
  .flatMap(table => [...table.tBodies[0].rows].map(row => [...row.cells].map(cell => cell.textContent)))
"""


class Report(NamedTuple):
    file: Path
    document: dict[str, Any]


@pytest.fixture(scope="module")
def report(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Report:
    file = tmp_path_factory.mktemp("report") / "load.html"
    sale = Client(stack.env()).new_sale(50, maxPerUser=1)
    command = [sys.executable, "-m", "flashsale_cli", "load", "--product", sale, *CROWD, "--report", str(file), "--json"]
    env = stack.env() | {"PATH": ""}
    done = subprocess.run(command, env=env, cwd=file.parent, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return Report(file, json.loads(done.stdout))


async def test_report_passes_axe_in_each_view_and_needs_neither_script_nor_network(report: Report, page: Page, each_view: EachView) -> None:
    assert report.file.stat().st_size <= 200_000
    assert "<script" not in report.file.read_text()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    await page.goto(report.file.as_uri())
    await page.locator("summary").click()
    async for view in each_view(page, "report"):
        assert (str(view), await axe(page), await scrolls_sideways(page)) == (str(view), [], False)
    assert [url for url in requests if not url.startswith("data:")] == [report.file.as_uri()]


async def test_figures_of_the_report_are_those_of_the_json(report: Report, page: Page) -> None:
    document = report.document
    await page.goto(report.file.as_uri())
    outcomes = await page.evaluate(TABLE, "Outcomes, by the answer")
    assert [(row[0], int(row[2].replace(",", ""))) for row in outcomes] == [(each["group"], each["count"]) for each in document["outcomes"]]
    answers, orders = await page.evaluate(TABLE, "Latency in milliseconds")
    for row, name in ((answers, "latency"), (orders, "latency_of_orders")):
        expected = [document[name][key] for key in ("mean_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p99.9_ms", "max_ms")]
        assert [float(cell.replace(",", "")) for cell in row[2:]] == [pytest.approx(value, abs=0.051) for value in expected]
        assert int(row[1].replace(",", "")) == document[name]["count"]
    assert await page.locator(".verdict").inner_text() == "Every promise kept"


async def test_plot_and_table_over_time_show_every_answer(report: Report, page: Page) -> None:
    await page.goto(report.file.as_uri())
    bins = report.document["timeline"]["bins"]
    assert sum(sum(each["counts"].values()) for each in bins) == report.document["requests"]
    shown = await page.locator('svg[aria-label^="Answers per second"] rect').count()
    assert shown == sum(1 for each in bins for count in each["counts"].values() if count)
    rows = await page.evaluate(TABLE, "answers per second and latency over time")
    assert [row[0] for row in rows] == [f"{each['begin_seconds']:.1f} s" for each in bins[:: -(-len(bins) // 12)]]


async def test_report_reads_without_scripts(report: Report, browser: Browser, watch: Any) -> None:
    async with open_page(browser, watch, java_script_enabled=False) as page:
        await page.goto(report.file.as_uri())
        text = await page.locator("main").inner_text()
    assert f"{report.document['requests']:,} requests in" in text
    assert watch.faults == []
