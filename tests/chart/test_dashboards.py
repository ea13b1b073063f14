"""Dashboards in the chart: they are the generated files, with links to the pages that browsers can open."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from flashsale_core.ids import is_sale_id
from tests.chart.rendering import find, rendered
from tools.repository import DASHBOARDS

CONSOLE = "console.enabled=true,console.existingSecret=console,credentials.existingSecret=credentials"
OUTSIDE = "console.origins={http://127.0.0.1:8004,https://console.example}"


def boards(values: str) -> dict[str, Any]:
    """Each dashboard by its name, as Grafana's sidecar reads it."""
    documents = rendered("", "--set", f"metrics.dashboards.enabled=true,{values}")
    return {
        path.stem: json.loads(find(documents, "ConfigMap", path.stem.replace("flashsale-", "shop-flashsale-dashboard-"))["data"][path.name])
        for path in DASHBOARDS.glob("*.json")
    }


@pytest.mark.parametrize(
    ("values", "console", "page"),
    [
        ("ingress.enabled=false", [], []),
        (CONSOLE, [], []),
        (f"{CONSOLE},{OUTSIDE}", ["https://console.example"], []),
        (
            f"{CONSOLE},{OUTSIDE},storefront.publicUrl=https://shop.example",
            ["https://console.example"],
            ["https://shop.example/s/${sale}"],
        ),
        ("ingress.enabled=true,ingress.hosts={a.example}", [], ["http://a.example/s/${sale}"]),
        ("storefront.publicUrl=https://shop.example,storefront.enabled=false", [], []),
    ],
)
def test_dashboards_lead_to_the_pages_that_the_values_name(values: str, console: list[str], page: list[str]) -> None:
    for name, board in boards(values).items():
        links = [link["url"] for link in board["links"] if link["type"] == "link"]
        assert links == console + (page if name == "flashsale-sale" else [])
        generated = json.loads((DASHBOARDS / f"{name}.json").read_text())
        # All else is as generated.
        assert board | {"links": board["links"][len(links) :]} == generated


def test_page_of_the_chosen_sale_needs_no_format_of_the_variable() -> None:
    """Grafana writes a variable without a format as `glob`: one choice as it is, several as `{a,b}`, and All as `allValue`.

    `percentencode` puts braces around a single choice of a variable with several, and encodes them (grafana/scenes, formatRegistry.ts).
    """
    board = boards("storefront.publicUrl=https://shop.example")["flashsale-sale"]
    (url,) = [link["url"] for link in board["links"] if link["type"] == "link"]
    (variable,) = [each for each in board["templating"]["list"] if each["name"] == "sale"]
    assert (url.removeprefix("https://shop.example/s/"), variable["multi"]) == ("${sale}", True)
    # Without a format nothing is encoded, and no character of a sale's id needs it (RFC 3986, 2.3).
    characters = [chr(code) for code in range(128) if is_sale_id(f"a{chr(code)}")]
    assert [quote(each, safe="") for each in characters] == characters
    # All, or several, leads to the page that says that there is no such sale, and never to another sale.
    assert [is_sale_id(chosen) for chosen in ("shoe", variable["allValue"], "{shoe,hat}")] == [True, False, False]
