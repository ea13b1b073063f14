"""What a resource's status says."""

from typing import Any

import pytest

from flashsale_operator.conditions import Verdict, status_of, transitions, without_stock
from flashsale_operator.plan import Stall, Trouble
from flashsale_operator.resource import read_resource
from tests.unit.operator.test_operator_plan import SALE, body

NOW_MS, NOW, LATER = 1_795_766_400_000, "2026-11-27T08:00:00Z", "2026-11-27T08:00:05Z"
RESOURCE = read_resource(body())
LOST = Stall(Trouble.DATA_LOST, "gone")


def status(verdict: Verdict, previous: dict[str, Any] | None = None, now: str = NOW, **spec: Any) -> dict[str, Any]:
    return status_of(read_resource(body(**spec)), verdict, previous or {}, NOW_MS, now)


def held(found: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in found["conditions"]}


def test_a_live_sale() -> None:
    found = status(Verdict(SALE))
    assert without_stock(found) | {"conditions": held(found)} == {
        "observedGeneration": 3, "productId": "sneaker", "phase": "Live", "epoch": 7,
        "conditions": {
            "Ready": ("True", "Reconciled"), "Reconciling": ("False", "Reconciled"), "Stalled": ("False", "Progressing"),
            "StockLoaded": ("True", "Loaded"), "SoldOut": ("False", "UnitsLeft"),
        },
    }  # fmt: skip
    assert found["stock"] == {"total": 10, "available": 6, "reserved": 3, "sold": 1}
    assert {one["observedGeneration"] for one in found["conditions"]} == {3}


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
def test_phases(spec: dict[str, Any], sale: dict[str, str], phase: str) -> None:
    assert status(Verdict(SALE | sale), **spec)["phase"] == phase


def test_a_stalled_sale_that_goes_on() -> None:
    found = status(Verdict(SALE, stall=Stall(Trouble.BELOW_COMMITTED, "too low")))
    assert (found["phase"], held(found)["Ready"], held(found)["Stalled"], held(found)["StockLoaded"]) == (
        "Stalled", ("False", "BelowCommitted"), ("True", "BelowCommitted"), ("True", "Loaded"),
    )  # fmt: skip


def test_a_lost_sale_has_no_numbers_and_keeps_its_epoch() -> None:
    found = status_of(read_resource(body() | {"status": {"epoch": 7}}), Verdict({}, stall=LOST), {}, NOW_MS, NOW)
    assert ("stock" in found, found["epoch"], held(found)["StockLoaded"], held(found)["SoldOut"]) == (
        False, 7, ("False", "DataLost"), ("False", "DataLost"),
    )  # fmt: skip


def test_while_redis_is_away_what_was_known_stands() -> None:
    before = status(Verdict(SALE | {"available": "0", "reserved": "9"}))
    found = status(Verdict({}, waiting="Redis: refused"), before)
    assert (found["phase"], found["stock"]) == (before["phase"], before["stock"])
    assert held(found) == {
        "Ready": ("False", "RedisUnavailable"), "Reconciling": ("True", "RedisUnavailable"), "Stalled": ("False", "Progressing"),
        "StockLoaded": ("True", "RedisUnavailable"), "SoldOut": ("True", "RedisUnavailable"),
    }  # fmt: skip


def test_a_deletion_tells_what_it_waits_for() -> None:
    found = status(Verdict(SALE, draining="3 units are reserved"))
    assert (found["phase"], held(found)["Ready"], held(found)["Reconciling"]) == ("Draining", ("False", "Draining"), ("True", "Draining"))
    assert found["conditions"][0]["message"] == "3 units are reserved"


def test_a_transition_time_moves_with_the_status_only() -> None:
    before = status(Verdict(SALE))
    after = status(Verdict(SALE, stall=LOST), before, LATER)
    times = {one["type"]: one["lastTransitionTime"] for one in after["conditions"]}
    assert times == {"Ready": LATER, "Stalled": LATER, "Reconciling": NOW, "StockLoaded": NOW, "SoldOut": NOW}
    assert [one["type"] for one in transitions(before, after)] == ["Ready", "Stalled"]
    assert [one["type"] for one in transitions({}, before)] == ["Ready", "StockLoaded"]


def test_the_same_again_is_the_same() -> None:
    before = status(Verdict(SALE))
    assert status(Verdict(SALE), before, LATER) == before
