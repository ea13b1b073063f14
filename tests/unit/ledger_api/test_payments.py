"""A payment's document says whether the money was kept when it was decided."""

from datetime import UTC, datetime

import pytest

from flashsale_ledger_api.payments import key_of, to_document

ORDER = "shoe.o2345678901234567890"


@pytest.mark.parametrize(
    ("result", "reason", "refund_reason", "shown"),
    [
        ("paid", "", None, ("paid", "", None)),
        ("paid", "", "returned", ("paid", "", "7")),
        # The repeat of a removed sale was paid back before its order was known as paid.
        ("paid", "", "unknown_order", ("refund_due", "unknown_order", "7")),
        ("refund_due", "late", "late", ("refund_due", "late", "7")),
        ("failed", "", None, ("failed", "", None)),
    ],
)
def test_result_is_what_the_money_did(result: str, reason: str, refund_reason: str | None, shown: tuple[str, str, str | None]) -> None:
    row = {
        "payment_id": "p", "sale_id": "shoe", "order_id": "o", "result": result, "reason": reason, "amount_minor": 9, "currency": "EUR",
        "at": datetime(2026, 12, 1, tzinfo=UTC), "refund_id": None if refund_reason is None else 7, "refund_reason": refund_reason,
    }  # fmt: skip
    document = to_document(row)
    assert (document["result"], document["reason"], document["refundId"]) == shown


def test_order_without_a_sale_is_looked_for_by_its_whole_name() -> None:
    assert (key_of(ORDER, "p"), key_of("none", "p")) == (("p", "shoe", "o2345678901234567890"), ("p", "", "none"))
