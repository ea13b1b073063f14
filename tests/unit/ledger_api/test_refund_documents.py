"""A refund as its document, and the key of a page."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flashsale_ledger_api.problems import Problem
from flashsale_ledger_api.refund_documents import PageKey, read_key, to_document

CREATED = datetime(2026, 11, 29, 12, 0, 0, 123456, UTC)
ROW: dict[str, Any] = {
    "refund_id": 7,
    "state": "due",
    "reason": "late",
    "sale_id": "shoe",
    "order_id": "A" * 20,
    "user_id": "anna",
    "payment_id": "p-1",
    "amount_minor": 999,
    "refunded_minor": 300,
    "changed_at": None,
    "currency": "EUR",
    "created_at": CREATED,
}


def test_document_names_order_buyer_amount_and_age() -> None:
    assert to_document(ROW, CREATED + timedelta(seconds=90.7)) == {
        "refundId": "7",
        "state": "due",
        "reason": "late",
        "productId": "shoe",
        "orderId": f"shoe.{'A' * 20}",
        "userId": "anna",
        "paymentId": "p-1",
        "amountMinor": 999,
        "refundedMinor": 300,
        "currency": "EUR",
        "createdAt": "2026-11-29T12:00:00.123Z",
        "changedAt": None,
        "ageSeconds": 90,
    }


def test_order_of_no_sale_keeps_the_name_that_the_provider_gave() -> None:
    document = to_document({**ROW, "sale_id": "", "order_id": "order-17", "user_id": None}, CREATED - timedelta(seconds=1))
    assert (document["orderId"], document["userId"], document["ageSeconds"]) == ("order-17", None, 0)


def test_key_of_a_page_keeps_microseconds() -> None:
    key = PageKey(CREATED, 7)
    assert read_key(str(key)) == key


@pytest.mark.parametrize("text", ["", "7", "a.7", "1.b", "1.7.9", "-1.7", "1." + "7" * 19, "999999999999999999.1"])
def test_wrong_key_names_the_parameter(text: str) -> None:
    with pytest.raises(Problem) as raised:
        read_key(text)
    assert (raised.value.status, raised.value.document["field"]) == (400, "after")
