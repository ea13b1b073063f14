"""Paid orders that the provider reported as paid back: their documents, the key of their pages, and who leaves one as paid."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from flashsale_core.ids import OrderId, OrderRef, SaleId, order_name, parse_order_ref
from flashsale_core.timestamps import rfc3339
from flashsale_ledger import PoolConnection
from flashsale_ledger_api.problems import Problem
from flashsale_ledger_api.queries import QUERIES
from flashsale_ledger_api.refund_changes import Reason

_EPOCH = datetime.fromtimestamp(0, UTC)
_KEY = re.compile(r"([0-9]{1,18})\.(.+)")


class LeaveRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /admin/orders/{id}/leave-paid."""

    reason: Annotated[Reason, Meta(description="Why the order stays paid, such as a part that was paid back as a courtesy")]


class PageKey(NamedTuple):
    """Where the next page begins: after the order with this last report."""

    reported_at: datetime
    order: OrderRef

    def __str__(self) -> str:
        return f"{(self.reported_at - _EPOCH) // timedelta(microseconds=1)}.{self.order}"


FIRST = PageKey(_EPOCH, OrderRef(SaleId(""), OrderId("")))


def read_key(text: str) -> PageKey:
    """Raises Problem(bad_request) if it is no key of an earlier answer."""
    match = _KEY.fullmatch(text)
    order = parse_order_ref(match[2]) if match else None
    try:
        if match is None or order is None:
            raise ValueError
        return PageKey(_EPOCH + timedelta(microseconds=int(match[1])), order)
    except (ValueError, OverflowError):
        raise Problem("bad_request", "Must be the value of `next` in the previous page", field="after") from None


def key_of(row: Mapping[str, Any]) -> PageKey:
    return PageKey(row["reported_at"], OrderRef(row["sale_id"], row["order_id"]))


def to_document(row: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    return {
        "productId": row["sale_id"],
        "orderId": order_name(row["sale_id"], row["order_id"]),
        "userId": row["user_id"],
        "paymentId": row["payment_id"],
        "amountMinor": row["amount_minor"],
        "currency": row["currency"],
        "reportedMinor": row["reported_minor"],
        "reportedCurrency": row["reported_currency"],
        "reference": row["reference"],
        "reportedAt": rfc3339(row["reported_at"]),
        "ageSeconds": max(0, int((now - row["reported_at"]).total_seconds())),
    }


def left_document(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "orderId": order_name(row["sale_id"], row["order_id"]),
        "paymentId": row["payment_id"],
        "reportedMinor": row["refunded_minor"],
        "reference": row["reference"],
        "reason": row["reason"],
        "leftBy": row["who"],
        "leftAt": rfc3339(row["at"]),
    }


async def leave_paid(connection: PoolConnection, order: OrderRef, reason: str, who: str) -> tuple[dict[str, Any], bool]:
    """Note that the order stays paid. Call in a transaction. Returns who left it and why, and whether it was left before.

    Raises Problem(not_reported) if there is nothing to leave: the provider reported nothing, or the order is not paid.
    """
    is_repeat = await connection.execute(QUERIES["leave_paid"], *order, who, reason) == "INSERT 0 0"
    left = await connection.fetchrow(QUERIES["left_paid"], *order)
    if left is None:
        raise Problem("not_reported", f"Look at the list of reported refunds; {order} is not there")
    return left_document(dict(left)), is_repeat
