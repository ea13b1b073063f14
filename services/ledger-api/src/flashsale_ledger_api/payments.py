"""What the ledger knows of one payment: whether it has paid its order, or its refund is due."""

from collections.abc import Mapping
from typing import Any

from flashsale_core.ids import order_name, parse_order_ref
from flashsale_core.timestamps import rfc3339
from flashsale_ledger_api.problems import Problem
from flashsale_ledger_api.queries import QUERIES


def key_of(order: str, payment_id: str) -> tuple[str, str, str]:
    """(payment id, sale id, order id), as the ledger has it. A payment may name what is no order, and then has no sale."""
    named = parse_order_ref(order)
    return (payment_id, *named) if named is not None else (payment_id, "", order)


async def show(ledger: Any, order: str, payment_id: str) -> dict[str, Any]:
    """Raises Problem(unknown_payment), and Retryable when Postgres is away or too slow."""
    # Postgres has no such texts, and would refuse the question.
    rows = await ledger.rows(QUERIES["show_payment"], *key_of(order, payment_id)) if "\0" not in order + payment_id else []
    if not rows:
        raise Problem("unknown_payment", "If it was reported to the engine, it reaches the ledger soon: ask again after a second")
    return to_document(dict(rows[0]))


def to_document(row: Mapping[str, Any]) -> dict[str, Any]:
    """A refund for anything but a return means that the payment has bought nothing, whatever its own row says."""
    is_refunded = row["refund_reason"] not in (None, "returned")
    return {
        "paymentId": row["payment_id"],
        "orderId": order_name(row["sale_id"], row["order_id"]),
        "productId": row["sale_id"],
        "result": "refund_due" if is_refunded else row["result"],
        "reason": row["refund_reason"] if is_refunded else row["reason"],
        "amountMinor": row["amount_minor"],
        "currency": row["currency"],
        "at": rfc3339(row["at"]),
        "refundId": None if row["refund_id"] is None else str(row["refund_id"]),
    }
