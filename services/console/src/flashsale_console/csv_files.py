"""Rows as text of a CSV file (RFC 4180), such that a spreadsheet takes no cell for a formula. Pure."""

import csv
import io
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from flashsale_core.ids import order_name
from flashsale_core.prices import plain_amount

ORDER_COLUMNS = ("order", "buyer", "units", "state", "payment", "amount_paid", "currency", "ordered_utc", "pay_by_utc", "changed_utc")
REFUND_COLUMNS = ("refund", "state", "order", "payment", "reason", "amount", "currency", "amount_sent", "due_since_utc")
_BEGINS_FORMULA = re.compile(r"(^|[;\t])(?=[=+\-@])")
"""Also behind a semicolon: it separates cells where a comma is the decimal sign, and quotes protect only a whole cell."""


def lines(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def order_cells(sale_id: str, row: Mapping[str, Any]) -> tuple[Any, ...]:
    """A row of `sale_orders`, as ORDER_COLUMNS."""
    currency = row["currency"] or ""
    paid = _amount(row["amount_minor"], currency)
    return (
        order_name(sale_id, row["order_id"]), _text(row["user_id"]), row["quantity"], row["state"], _text(row["payment_id"]),
        paid, currency, _moment(row["reserved_at"]), _moment(row["deadline"]), _moment(row["updated_at"]),
    )  # fmt: skip


def refund_cells(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """A row of `list_refunds`, as REFUND_COLUMNS."""
    amount, sent = (_amount(row[name], row["currency"]) for name in ("amount_minor", "refunded_minor"))
    return (
        row["refund_id"], row["state"], _text(order_name(row["sale_id"], row["order_id"])), _text(row["payment_id"]), row["reason"],
        amount, row["currency"], sent, _moment(row["created_at"]),
    )  # fmt: skip


def _amount(minor: int | None, currency: str) -> str:
    """Empty if nobody knows it: what a rebuild restored has neither amount nor currency, and 0.00 would be an amount."""
    return plain_amount(minor or 0, currency) if minor or currency else ""


def _text(value: str | None) -> str:
    """Ids are other people's texts, and a spreadsheet calculates what begins as a formula: an apostrophe makes it a text (CWE-1236).

    Also the order of a payment that names no sale: such a name is as the payment's webhook had it.
    """
    return _BEGINS_FORMULA.sub(r"\1'", value or "")


def _moment(value: datetime | None) -> str:
    return "" if value is None else value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
