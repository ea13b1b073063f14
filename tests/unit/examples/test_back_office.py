"""The example shop's back office: pages of events and refunds, and what it does when the engine cannot continue a feed."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from examples.shop.back_office import BackOffice
from examples.shop.settings import read_settings
from examples.shop.store import Order
from flashsale_client import Answer

SETTINGS = read_settings(
    {
        "FLASHSALE_URL": "http://engine",
        "FLASHSALE_WEBHOOK_SECRET": "whsec_x",
        "FLASHSALE_LEDGER_API_URL": "http://ledger",
        "FLASHSALE_ADMIN_TOKEN": "key old-key",
    }
)


class Ledger:
    """Gives these answers and remembers the requests."""

    def __init__(self, *answers: tuple[int, Any]) -> None:
        self.requests: list[str] = []
        self._answers = iter(answers)

    def __call__(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, seconds: float) -> Answer:
        assert headers["authorization"] == "Bearer key"
        self.requests.append(f"{method} {url.removeprefix('http://ledger/admin/')}")
        status, document = next(self._answers)
        return Answer(status, {}, json.dumps(document).encode())


def test_events_continue_where_the_shop_stopped() -> None:
    ledger = Ledger((200, {"events": [{"type": "order.paid"}], "next": "9.1"}))
    assert BackOffice(SETTINGS, ledger).events("7.3") == ([{"type": "order.paid"}], "9.1")
    assert ledger.requests == ["GET events?after=7.3"]


def test_feed_of_a_restored_database_begins_again() -> None:
    ledger = Ledger((409, {"code": "unknown_cursor"}), (200, {"events": [], "next": "0.0"}))
    assert BackOffice(SETTINGS, ledger).events("7.3") == ([], "0.0")
    assert ledger.requests == ["GET events?after=7.3", "GET events?"]


def test_due_refunds_are_read_page_by_page() -> None:
    refunds = [{"refundId": name} for name in "123"]
    ledger = Ledger((200, {"refunds": refunds[:2], "next": "5.2"}), (200, {"refunds": refunds[2:], "next": None}))
    assert list(BackOffice(SETTINGS, ledger).due_refunds()) == refunds
    assert ledger.requests == ["GET refunds?state=due", "GET refunds?state=due&after=5.2"]


@pytest.mark.parametrize(("answer", "result"), [((200, {"result": "paid"}), "paid"), ((404, {"code": "unknown_payment"}), "undecided")])
def test_ledger_is_asked_for_one_payment(answer: tuple[int, Any], result: str) -> None:
    ledger = Ledger(answer)
    order = Order("shoe.1", "ann", 1, 4900, "EUR", payment_id="pi/3N q")
    assert BackOffice(SETTINGS, ledger).payment_result(order) == result
    assert ledger.requests == ["GET orders/shoe.1/payments/pi%2F3N%20q?"]


@pytest.mark.parametrize("answer", [(401, {"code": "unauthorized"}), (503, {"code": "not_ready"}), (404, {}), (200, "<html>")])
def test_answer_that_the_shop_cannot_use_is_an_error(answer: tuple[int, Any]) -> None:
    with pytest.raises(OSError, match=str(answer[0])):
        BackOffice(SETTINGS, Ledger(answer)).mark_sent("1", "p1")
