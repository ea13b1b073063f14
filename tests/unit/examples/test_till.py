"""The example shop's till: money is taken for what the engine calls paid, and for nothing else, through crashes."""

import json
from pathlib import Path
from typing import Any

import pytest

from examples.shop import engine
from examples.shop.engine import NoDecisionError
from examples.shop.providers import PaymentError
from examples.shop.settings import read_settings
from examples.shop.store import Order, Store
from examples.shop.till import Till
from flashsale_client import Answer

SECRET = "whsec_AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
ORDER = Order("shoe.1", "ann", 2, 9800, "EUR")


class Engine:
    """Decides every payment in the same way, or does not answer."""

    def __init__(self, result: str = "paid") -> None:
        self.result = result

    def decide(self, order: Order) -> str:
        if self.result == "silence":
            raise NoDecisionError
        return self.result


class Office:
    """Has these pages of events and these refunds."""

    def __init__(self) -> None:
        self.pages: list[tuple[list[Any], str]] = []
        self.positions: list[str] = []
        self.result = "undecided"
        self.due: list[dict[str, Any]] = []
        self.sent: list[tuple[str, str]] = []
        self.refused: set[str] = set()

    def events(self, after: str) -> tuple[list[Any], str]:
        self.positions.append(after)
        return self.pages.pop(0) if self.pages else ([], after)

    def payment_result(self, order: Order) -> str:
        if self.result == "silence":
            raise OSError
        return self.result

    def due_refunds(self) -> list[dict[str, Any]]:
        return [refund for refund in self.due if refund["refundId"] not in dict(self.sent)]

    def mark_sent(self, refund_id: str, reference: str) -> None:
        if refund_id in self.refused:
            raise OSError("the engine answers 409")
        self.sent.append((refund_id, reference))


class Provider:
    """Remembers what it did; fails while `broken`, and for the payments in `failing`."""

    def __init__(self) -> None:
        self.broken = False
        self.failing: set[str] = set()
        self.done: list[tuple[str, str]] = []

    def begin(self, order: Order) -> tuple[str, str]:
        return "p1", "/o/shoe.1"

    def capture(self, order: Order) -> None:
        self._do("capture", order)

    def release(self, order: Order) -> None:
        self._do("release" if order.payment == "authorised" else "refund", order)

    def _do(self, action: str, order: Order) -> None:
        if self.broken or order.payment_id in self.failing:
            raise PaymentError
        self.done.append((action, order.payment_id))


class Shop:
    def __init__(self, file: Path, result: str = "paid") -> None:
        self.store, self.engine, self.provider, self.office = Store(str(file)), Engine(result), Provider(), Office()
        self.till = Till(self.store, self.engine, self.provider, self.office)
        self.store.add(ORDER)

    @property
    def order(self) -> Order:
        order = self.store.get("shoe.1")
        assert order
        return order


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop.sqlite")


def event(state: str, rank: int) -> Any:
    return {"type": f"order.{state}", "data": {"orderId": "shoe.1", "state": state, "rank": rank}}


def refund(payment_id: str, order_id: str = "shoe.1") -> dict[str, Any]:
    return {"refundId": f"refund-of-{payment_id}", "orderId": order_id, "paymentId": payment_id}


@pytest.mark.parametrize("result", ["paid", "replayed"])
def test_money_is_captured_when_the_engine_says_paid(shop: Shop, result: str) -> None:
    shop.engine.result = result
    assert shop.till.begin(shop.order) == "/o/shoe.1"
    assert (shop.order.state, shop.order.payment, shop.provider.done) == ("paid", "captured", [("capture", "p1")])


def test_authorisation_is_released_when_a_refund_is_due_and_the_refund_is_settled(shop: Shop) -> None:
    shop.engine.result, shop.office.due = "refund_due", [refund("p1")]
    shop.till.begin(shop.order)
    assert (shop.order.payment, shop.provider.done) == ("released", [("release", "p1")])
    for _ in range(2):
        shop.till.reconcile()
    assert shop.office.sent == [("refund-of-p1", "p1")]


def test_payment_without_a_decision_waits_and_is_decided_once_later(shop: Shop) -> None:
    shop.engine.result = "silence"
    shop.till.begin(shop.order)
    assert (shop.order.payment, shop.provider.done) == ("authorised", [])
    shop.engine.result = "paid"
    for _ in range(2):
        shop.till.reconcile()
    assert (shop.order.payment, shop.provider.done) == ("captured", [("capture", "p1")])


@pytest.mark.parametrize(("result", "payment", "action"), [("paid", "captured", "capture"), ("refund_due", "released", "release")])
def test_ledger_decides_for_an_order_that_the_engine_has_no_more(shop: Shop, result: str, payment: str, action: str) -> None:
    shop.engine.result = "undecided"
    shop.till.begin(shop.order)
    shop.till.reconcile()
    assert (shop.order.payment, shop.provider.done) == ("authorised", [])
    shop.office.result = result
    shop.till.reconcile()
    assert (shop.order.payment, shop.provider.done) == (payment, [(action, "p1")])


def test_shop_without_the_private_side_cancels_nothing_that_is_undecided(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop.sqlite", "undecided")
    Till(shop.store, shop.engine, shop.provider).begin(shop.order)
    assert (shop.order.payment, shop.provider.done) == ("authorised", [])


def test_ledger_that_does_not_answer_is_asked_again(shop: Shop) -> None:
    shop.engine.result, shop.office.result = "undecided", "silence"
    shop.till.begin(shop.order)
    assert shop.order.payment == "authorised"


@pytest.mark.parametrize("decision", ["paid", "replayed", "refund_due", "undecided"])
def test_decisions_of_the_engine_are_the_shop_s(decision: str) -> None:
    body = json.dumps({"result": decision, "reason": ""}).encode()
    settings = read_settings({"FLASHSALE_URL": "http://engine", "FLASHSALE_WEBHOOK_SECRET": SECRET})
    assert engine.Engine(settings, lambda *_: Answer(200, {}, body)).decide(ORDER) == decision


@pytest.mark.parametrize(("result", "action"), [("paid", "capture"), ("refund_due", "release")])
def test_provider_that_fails_is_asked_again(shop: Shop, result: str, action: str) -> None:
    shop.engine.result, shop.provider.broken = result, True
    shop.till.begin(shop.order)
    assert shop.order.payment == "authorised"
    shop.provider.broken = False
    shop.till.reconcile()
    assert shop.provider.done == [(action, "p1")]


def test_second_payment_of_an_order_is_released_and_the_first_stays(shop: Shop) -> None:
    shop.till.begin(shop.order)
    shop.till.authorised(shop.order, "p2")
    assert (shop.provider.done, shop.order.payment_id) == ([("capture", "p1"), ("release", "p2")], "p1")
    assert (shop.order.payment, shop.store.was_released("p2")) == ("captured", True)


def test_second_payment_authorised_at_the_same_time_is_released(shop: Shop) -> None:
    shop.engine.result = "silence"
    seen_by_both = shop.order
    for payment_id in ("p1", "p2", "p1"):
        shop.till.authorised(seen_by_both, payment_id)
    assert (shop.order.payment, shop.order.payment_id, shop.provider.done) == ("authorised", "p1", [("release", "p2")])


def test_money_that_was_sent_back_is_not_called_captured_again(shop: Shop) -> None:
    shop.till.begin(shop.order)
    shop.store.set_released("shoe.1", "p1")
    shop.store.set_captured("shoe.1", "p1")
    assert shop.order.payment == "released"


def test_order_can_be_paid_again_after_its_payment_was_released(shop: Shop) -> None:
    shop.engine.result = "refund_due"
    shop.till.begin(shop.order)
    shop.engine.result = "paid"
    shop.till.authorised(shop.order, "p2")
    assert (shop.order.payment, shop.order.payment_id) == ("captured", "p2")


def test_highest_state_is_kept_whatever_the_order_of_events(shop: Shop) -> None:
    for state, rank in (("paid", 2), ("expired", 1), ("reserved", 0), ("paid", 2)):
        shop.till.apply(event(state, rank))
    assert (shop.order.state, shop.order.rank) == ("paid", 2)


def test_event_of_an_unknown_order_or_kind_has_no_effect(shop: Shop) -> None:
    shop.till.apply({"type": "order.paid", "data": {"orderId": "shoe.2", "state": "paid", "rank": 2}})
    shop.till.apply({"type": "sale.sold_out", "data": {"productId": "shoe", "sold": 10}})
    assert shop.order == ORDER


def test_captured_money_is_sent_back_once_when_its_refund_is_due(shop: Shop) -> None:
    shop.till.begin(shop.order)
    shop.office.due = [refund("p1")]
    for _ in range(2):
        shop.till.reconcile()
    assert (shop.provider.done, shop.order.payment) == ([("capture", "p1"), ("refund", "p1")], "released")
    assert shop.office.sent == [("refund-of-p1", "p1")]


def test_refund_that_the_provider_cannot_send_stays_due(shop: Shop) -> None:
    shop.till.begin(shop.order)
    shop.office.due, shop.provider.broken = [refund("p1")], True
    shop.till.reconcile()
    assert (shop.office.sent, shop.order.payment) == ([], "captured")
    shop.provider.broken = False
    shop.till.reconcile()
    assert (shop.office.sent, shop.order.payment) == ([("refund-of-p1", "p1")], "released")


def test_refund_that_cannot_be_sent_does_not_keep_back_the_others(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    for place, payment_id in enumerate(("p1", "p2", "p3"), start=1):
        order = ORDER._replace(order_id=f"shoe.{place}")
        shop.store.add(order)
        shop.till.authorised(order, payment_id)
    shop.office.due = [refund(f"p{place}", f"shoe.{place}") for place in (1, 2, 3)]
    shop.provider.failing, shop.office.refused = {"p1"}, {"refund-of-p2"}
    shop.till.reconcile()
    assert shop.office.sent == [("refund-of-p3", "p3")]
    assert [record.args[0] for record in caplog.records if isinstance(record.args, tuple)] == ["refund-of-p1", "refund-of-p2"]
    shop.provider.failing, shop.office.refused = set(), set()
    shop.till.reconcile()
    assert sorted(dict(shop.office.sent).values()) == ["p1", "p2", "p3"]
    assert [payment for action, payment in shop.provider.done if action == "refund"] == ["p2", "p3", "p1"]


def test_refund_of_an_unknown_payment_is_left_to_a_person(shop: Shop) -> None:
    shop.till.begin(shop.order)
    shop.office.due = [refund("p9"), refund("p1", "shoe.2")]
    shop.till.reconcile()
    assert (shop.office.sent, shop.order.payment) == ([], "captured")


def test_feed_is_read_from_where_the_shop_stopped(shop: Shop) -> None:
    shop.office.pages = [([event("expired", 1)], "7"), ([event("paid", 2)], "9")]
    shop.till.reconcile()
    shop.till.reconcile()
    assert (shop.office.positions, shop.order.state) == (["", "7", "9", "9"], "paid")


def test_event_that_cannot_be_read_keeps_no_other_from_the_shop(shop: Shop) -> None:
    unreadable: list[dict[str, Any]] = [{"type": "order.paid"}, {"type": "order.paid", "data": {"orderId": "shoe.1"}}, {"data": {}}]
    for wrong in unreadable:
        shop.till.apply(wrong)
    shop.till.apply(event("expired", 1))
    assert shop.order.state == "expired"


@pytest.mark.parametrize("body", [b"<title>Sign in</title>", b"{}", b'{"result": "noted"}'])
def test_page_of_something_else_decides_no_payment_and_is_no_order(body: bytes) -> None:
    """A proxy's 200 cancelled the payment of an order that the engine had not been asked about."""
    settings = read_settings({"FLASHSALE_URL": "http://engine", "FLASHSALE_WEBHOOK_SECRET": SECRET})
    with pytest.raises(NoDecisionError, match="not the engine"):
        engine.Engine(settings, lambda *_: Answer(200, {}, body)).decide(ORDER)
    assert engine.Engine(settings, lambda *_: Answer(200, {}, body)).order("shoe.1", "ann") is None


def test_date_in_retry_after_is_waited_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(engine, "sleep", waits.append)
    settings = read_settings({"FLASHSALE_URL": "http://engine", "FLASHSALE_WEBHOOK_SECRET": SECRET})
    asked = iter(["Fri, 27 Nov 2026 10:00:00 GMT", "3600", "2", "", "0"])
    with pytest.raises(NoDecisionError, match="does not answer"):
        engine.Engine(settings, lambda *_: Answer(503, {"retry-after": next(asked)})).decide(ORDER)
    assert waits == [1, 10, 2, 1, 0]
