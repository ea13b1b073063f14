"""The status that a reconciliation writes to its resource."""

from typing import Any

import pytest

from flashsale_operator.conditions import Verdict, status_of, transitions, without_stock
from flashsale_operator.plan import Stall, StallReason, recovering
from flashsale_operator.resource import read_resource
from tests.unit.operator.test_operator_plan import SALE, body

NOW_MS, NOW, LATER = 1_795_766_400_000, "2026-11-27T08:00:00Z", "2026-11-27T08:00:05Z"
RESOURCE = read_resource(body())
LOST = Stall(StallReason.DATA_LOST, "gone")


def status(verdict: Verdict, previous: dict[str, Any] | None = None, now: str = NOW, **spec: Any) -> dict[str, Any]:
    return status_of(read_resource(body(**spec)), verdict, previous or {}, NOW_MS, now)


def conditions(document: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """(status, reason) by condition type."""
    return {condition["type"]: (condition["status"], condition["reason"]) for condition in document["conditions"]}


def test_live_sale_is_ready_and_shows_its_stock() -> None:
    live = status(Verdict(SALE))
    assert without_stock(live) | {"conditions": conditions(live)} == {
        "observedGeneration": 3, "productId": "sneaker", "phase": "Live", "epoch": 7, "paymentWindowSeconds": 60,
        "conditions": {
            "Ready": ("True", "Reconciled"), "Reconciling": ("False", "Reconciled"), "Stalled": ("False", "Progressing"),
            "StockLoaded": ("True", "Loaded"), "SoldOut": ("False", "UnitsLeft"),
        },
    }  # fmt: skip
    assert live["stock"] == {"total": 10, "available": 6, "reserved": 3, "sold": 1}
    assert {condition["observedGeneration"] for condition in live["conditions"]} == {3}


def test_status_names_the_page_of_a_sale_that_the_resource_owns() -> None:
    def of(verdict: Verdict, storefront: str, previous: dict[str, Any]) -> str | None:
        shown = status_of(read_resource(body(productId="shoe-1")), verdict, previous, NOW_MS, NOW, storefront)
        return str(shown["page"]) if "page" in shown else None

    shown = {"page": "https://shop.example/s/shoe-1"}
    assert of(Verdict(SALE), "https://shop.example", {}) == shown["page"]
    assert of(Verdict({}, waiting="Redis: refused"), "https://shop.example", shown) == shown["page"]
    # The page of this product id is another resource's, or there is no storefront any more.
    assert of(Verdict({}, stall=Stall(StallReason.NOT_OWNER, "taken")), "https://shop.example", shown) is None
    assert of(Verdict(SALE), "", shown) is None


@pytest.mark.parametrize(
    ("spec", "sale", "phase"),
    [
        ({}, {"available": "0", "reserved": "9"}, "SoldOut"),
        ({"paused": True}, {}, "Paused"),
        ({"startsAt": "2026-11-27T08:00:01Z"}, {}, "Scheduled"),
        ({"startsAt": "2026-11-27T08:00:00Z"}, {}, "Live"),
        ({"endsAt": "2026-11-27T08:00:00Z"}, {}, "Ended"),
        ({"endsAt": "2026-11-27T08:00:00Z", "paused": True}, {"available": "0", "reserved": "9"}, "Ended"),
    ],
)
def test_phase_follows_from_spec_sale_and_time(spec: dict[str, Any], sale: dict[str, str], phase: str) -> None:
    assert status(Verdict(SALE | sale), **spec)["phase"] == phase


def test_sale_with_refused_stock_is_stalled_but_loaded() -> None:
    stalled = status(Verdict(SALE, stall=Stall(StallReason.BELOW_COMMITTED, "too low")))
    held = conditions(stalled)
    assert (stalled["phase"], held["Ready"], held["Stalled"], held["StockLoaded"]) == (
        "Stalled", ("False", "BelowCommitted"), ("True", "BelowCommitted"), ("True", "Loaded"),
    )  # fmt: skip


def test_lost_sale_has_no_stock_numbers_and_keeps_its_epoch() -> None:
    lost = status_of(read_resource(body() | {"status": {"epoch": 7}}), Verdict({}, stall=LOST), {}, NOW_MS, NOW)
    held = conditions(lost)
    assert ("stock" in lost, lost["epoch"], held["StockLoaded"], held["SoldOut"]) == (
        False, 7, ("False", "DataLost"), ("False", "DataLost"),
    )  # fmt: skip


def test_status_keeps_the_last_known_stock_while_redis_is_away() -> None:
    before = status(Verdict(SALE | {"available": "0", "reserved": "9"}))
    waiting = status(Verdict({}, waiting="Redis: refused"), before)
    assert (waiting["phase"], waiting["stock"]) == (before["phase"], before["stock"])
    assert conditions(waiting) == {
        "Ready": ("False", "RedisUnavailable"), "Reconciling": ("True", "RedisUnavailable"), "Stalled": ("False", "Progressing"),
        "StockLoaded": ("True", "RedisUnavailable"), "SoldOut": ("True", "RedisUnavailable"),
    }  # fmt: skip


def test_recovery_stalls_the_sale_and_keeps_its_last_known_stock() -> None:
    before = status(Verdict(SALE | {"available": "0", "reserved": "9"}))
    stalled = status(Verdict({}, stall=recovering(RESOURCE)), before, LATER)
    assert (stalled["phase"], stalled["stock"]) == ("Stalled", before["stock"])
    assert conditions(stalled) == {
        "Ready": ("False", "Recovering"), "Reconciling": ("False", "Reconciled"), "Stalled": ("True", "Recovering"),
        "StockLoaded": ("True", "Recovering"), "SoldOut": ("True", "Recovering"),
    }  # fmt: skip
    assert [condition["type"] for condition in transitions(before, stalled)] == ["Ready", "Stalled"]
    # Its steps change nothing, so each resource is written once; after them it is as it was.
    assert status(Verdict({}, stall=recovering(RESOURCE)), stalled, LATER) == stalled
    healed = status(Verdict(SALE | {"available": "0", "reserved": "9"}), stalled, LATER)
    assert conditions(healed) == conditions(before)


def test_draining_sale_reports_what_it_waits_for() -> None:
    draining = status(Verdict(SALE, draining="3 units are reserved"))
    held = conditions(draining)
    assert (draining["phase"], held["Ready"], held["Reconciling"]) == ("Draining", ("False", "Draining"), ("True", "Draining"))
    assert draining["conditions"][0]["message"] == "3 units are reserved"


def test_transition_time_changes_only_with_the_status() -> None:
    before = status(Verdict(SALE))
    after = status(Verdict(SALE, stall=LOST), before, LATER)
    times = {condition["type"]: condition["lastTransitionTime"] for condition in after["conditions"]}
    assert times == {"Ready": LATER, "Stalled": LATER, "Reconciling": NOW, "StockLoaded": NOW, "SoldOut": NOW}
    assert [condition["type"] for condition in transitions(before, after)] == ["Ready", "Stalled"]
    assert [condition["type"] for condition in transitions({}, before)] == ["Ready", "StockLoaded"]


def test_unchanged_sale_has_an_unchanged_status() -> None:
    before = status(Verdict(SALE))
    assert status(Verdict(SALE), before, LATER) == before
