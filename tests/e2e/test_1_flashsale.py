"""kubectl apply of a FlashSale: it becomes Ready, is refused with a clear message, changes while it runs, and is deleted."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flashsale_core.keys import sale_keys
from tests.e2e.kube import Namespace, condition, flash_sale, numbers, report, until

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"stock": -1}, "spec.stock: Invalid value: -1: spec.stock in body should be greater than or equal to 0"),
    ({"stock": 1_000_000_001}, "should be less than or equal to 1000000000"),
    ({"stock": "ten"}, "spec.stock"),
    ({"stock": 1.5}, "spec.stock"),
    ({"stock": None}, "spec.stock"),
    ({"stock": 1, "productId": "a b"}, "productId takes letters, digits"),
    ({"stock": 1, "productId": "-a"}, "productId takes letters, digits"),
    ({"stock": 1, "productId": ""}, "spec.productId"),
    ({"stock": 1, "productId": "x" * 65}, "spec.productId: Too long"),
    ({"stock": 1, "startsAt": "2030-01-02T00:00:00Z", "endsAt": "2030-01-01T00:00:00Z"}, "endsAt must be after startsAt"),
    ({"stock": 1, "startsAt": "0001-01-01T00:00:00+14:00"}, "startsAt must be from 1970-01-02 to 2999-12-31"),
    ({"stock": 1, "endsAt": "1970-01-01T00:00:00Z"}, "endsAt must be from 1970-01-02 to 2999-12-31"),
    ({"stock": 1, "endsAt": "9999-12-31T23:59:59Z"}, "endsAt must be from 1970-01-02 to 2999-12-31"),
    ({"stock": 1, "startsAt": "tomorrow"}, "must be of type date-time"),
    ({"stock": 1, "maxPerUser": 0}, "spec.maxPerUser"),
    ({"stock": 1, "paymentWindowSeconds": 0}, "spec.paymentWindowSeconds"),
    ({"stock": 1, "paymentWindowSeconds": 86_401}, "less than or equal to 86400"),
    ({"stock": 1, "rateLimit": {"requests": 1}}, "spec.rateLimit.seconds: Required value"),
    ({"stock": 1, "rateLimit": {"requests": 0, "seconds": 1}}, "spec.rateLimit.requests"),
    ({"stock": 1, "latePayment": "keep"}, 'supported values: "refund", "reacquire"'),
    ({"stock": 1, "deletionPolicy": "Orphan"}, 'supported values: "Drain", "Retain"'),
    ({"stock": 1, "paused": "yes"}, "spec.paused"),
    ({"stock": 1, "prise": 5}, "field not declared in schema"),
]


@pytest.mark.parametrize(("spec", "words"), WRONG, ids=[f"{number}" for number in range(len(WRONG))])
def test_wrong_spec_is_refused_and_its_field_named(shop: Namespace, spec: dict[str, Any], words: str) -> None:
    answer = shop.apply({**flash_sale("wrong", 1), "spec": spec}, check=False)
    assert words in answer, answer


def test_name_too_long_for_a_product_id_is_refused(shop: Namespace) -> None:
    assert "metadata.name is the product id" in shop.apply(flash_sale("a" * 65, 1), check=False)


def test_applied_flashsale_is_soon_ready_and_loaded_in_redis(shop: Namespace) -> None:
    started = time.monotonic()
    shop.apply(flash_sale("ready", 7, paymentWindowSeconds=60))
    until(lambda: shop.ready("ready"), 10, "FlashSale ready is Ready", every_seconds=0.05)
    seconds = time.monotonic() - started
    report("kubectl apply to Ready", seconds=f"{seconds:.2f}", bar="2")
    assert shop.redis("HGET", sale_keys("ready").sale, "available") == "7"
    assert numbers(shop.sale("ready")) == (7, 7, 0, 0)
    row = shop.kubectl("get", "fs", "ready", "--no-headers").split()
    assert row[:7] == ["ready", "ready", "7", "7", "0", "0", "Live"]


def test_flashsale_names_its_page_where_the_storefront_is_public(shop: Namespace) -> None:
    shop.apply(flash_sale("paged", 1, productId="paged-1"))
    until(lambda: shop.ready("paged"), 10, "FlashSale paged is Ready")
    assert shop.sale("paged")["status"]["page"] == "http://shop.localhost/s/paged-1"
    assert "http://shop.localhost/s/paged-1" in shop.kubectl("get", "fs", "paged", "-o", "wide")
    script = "import urllib.request as web; print(web.urlopen('http://flashsale-storefront/s/paged-1', timeout=10).read().decode())"
    gateway = shop.pods("gateway")[0]["metadata"]["name"]
    assert "1 of 1 left" in shop.kubectl("exec", gateway, "--", "python", "-c", script)


def test_product_id_cannot_be_changed(shop: Namespace) -> None:
    shop.apply(flash_sale("fixed", 1, productId="fixed-1", paymentWindowSeconds=60))
    answer = shop.kubectl("patch", "flashsale", "fixed", "--type=merge", "-p", '{"spec":{"productId":"other"}}', check=False)
    assert "productId cannot be changed" in answer


def test_stock_below_what_is_sold_is_refused_by_the_apiserver(shop: Namespace) -> None:
    shop.apply(flash_sale("sold", 9))
    until(lambda: shop.ready("sold"), 10, "FlashSale sold is Ready")
    shop.kubectl("patch", "flashsale", "sold", "--subresource=status", "--type=merge", "-p", '{"status":{"stock":{"sold":3}}}')
    answer = shop.kubectl("patch", "flashsale", "sold", "--type=merge", "-p", '{"spec":{"stock":2}}', check=False)
    assert "stock cannot be less than the units that are sold already" in answer, answer


def test_flashsale_without_a_payment_window_shows_the_one_it_has(shop: Namespace) -> None:
    shop.apply(flash_sale("unnamed-window", 1))
    until(lambda: shop.ready("unnamed-window"), 10, "FlashSale unnamed-window is Ready")
    sale = shop.sale("unnamed-window")
    assert ("paymentWindowSeconds" in sale["spec"], sale["status"]["paymentWindowSeconds"]) == (False, 300)


def test_uninstalled_payment_window_stalls_the_flashsale(shop: Namespace) -> None:
    shop.apply(flash_sale("window", 1, paymentWindowSeconds=61))
    until(lambda: condition(shop.sale("window"), "Stalled").get("reason") == "WindowNotInstalled", 10, "Stalled")
    assert "use one of" in condition(shop.sale("window"), "Stalled")["message"]


def test_phase_follows_the_spec_of_a_running_sale(shop: Namespace) -> None:
    def becomes(phase: str, seconds: float = 10) -> None:
        until(lambda: shop.sale("phases")["status"].get("phase") == phase, seconds, f"phase {phase}")

    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds")
    past = (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="seconds")
    shop.apply(flash_sale("phases", 3, paymentWindowSeconds=60, startsAt=later))
    until(lambda: shop.ready("phases"), 10, "Ready")
    becomes("Scheduled")
    shop.patch("phases", startsAt=None)
    becomes("Live")
    shop.patch("phases", paused=True)
    becomes("Paused")
    assert shop.redis("HGET", sale_keys("phases").sale, "state") == "paused"
    shop.patch("phases", paused=False, stock=0)
    becomes("SoldOut")
    assert condition(shop.sale("phases"), "SoldOut")["status"] == "True"
    shop.patch("phases", endsAt=past)
    becomes("Ended")
    assert shop.ready("phases")


MANY = 1000
CLIENTS = 4
"""Each sends one request after the other."""


def test_thousand_flashsales_applied_at_once_become_ready(shop: Namespace) -> None:
    documents = [flash_sale(f"many-{number}", 10, paymentWindowSeconds=60) for number in range(MANY)]
    for number, document in enumerate(documents):
        document["metadata"]["labels"] = {"client": str(number % CLIENTS)}
    started = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda client: shop.apply(*documents[client::CLIENTS]), range(CLIENTS)))
    applied = time.monotonic() - started
    # A list of all is expensive for the apiserver, so the last one is asked for alone.
    until(lambda: shop.ready(f"many-{MANY - 1}"), 90, "the last of 1,000 FlashSales is Ready", every_seconds=0.5)
    until(lambda: phases_of_many(shop) == ["Live"] * MANY, 90, "1,000 FlashSales are Ready", every_seconds=1)
    seconds = time.monotonic() - started
    (pod,) = shop.pods("operator")
    rss = shop.kubectl("exec", pod["metadata"]["name"], "--", "sh", "-c", "grep VmRSS /proc/1/status").split()[1]
    report("1,000 FlashSales applied at once", all_ready_seconds=f"{seconds:.1f}", apply_seconds=f"{applied:.1f}",
           operator_memory_mb=int(rss) // 1000, bar="60")  # fmt: skip
    started = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda client: shop.kubectl("delete", "flashsale", "-l", f"client={client}", "--wait=false"), range(CLIENTS)))
    path = f"/apis/flashsale.dev/v1alpha1/namespaces/{shop.name}/flashsales?limit=1&labelSelector=client"
    until(lambda: json.loads(shop.kubectl("get", f"--raw={path}"))["items"] == [], 120, "1,000 FlashSales are gone", every_seconds=0.5)
    report("1,000 FlashSales deleted at once", gone_seconds=f"{time.monotonic() - started:.1f}")
    assert phases_of_many(shop) == []
    assert shop.redis("EXISTS", sale_keys("many-1").sale, user="operator").startswith("NOPERM")
    assert shop.redis("HGET", sale_keys("many-1").sale, "total") == ""


def phases_of_many(shop: Namespace) -> list[str]:
    return shop.kubectl("get", "fs", "-l", "client", "-o", 'jsonpath={range .items[*]}{.status.phase}{"\\n"}{end}').split()
