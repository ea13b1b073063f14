"""Paid orders that the provider reported as paid back: their documents, the key of their pages, and who leaves one as paid."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from flashsale_core.ids import OrderId, OrderRef, SaleId, order_name, parse_order_ref
from flashsale_core.timestamps import rfc3339
from flashsale_ledger import PoolConnection
from flashsale_ledger_api.problems import Problem
from flashsale_ledger_api.queries import QUERIES
from flashsale_ledger_api.refund_changes import Reason

_EPOCH = datetime.fromtimestamp(0, UTC)
_KEY = re.compile(r"([0-9]{1,18})\.(.+)")
REPORTED_MAX = 10**15
"""More than the parts of one payment can be in all."""
_SEEN = "What the sender has seen as reported: refused if the provider has reported more since. Left out: whatever is reported now"


class LeaveRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /admin/orders/{id}/leave-paid."""

    reason: Annotated[Reason, Meta(description="Why the order stays paid, such as a part that was paid back as a courtesy")]
    reportedMinor: Annotated[int, Meta(gt=0, le=REPORTED_MAX, description=_SEEN)] | UnsetType = UNSET  # noqa: N815 - the API's name


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


async def leave_paid(connection: PoolConnection, order: OrderRef, request: LeaveRequest, who: str) -> tuple[dict[str, Any], bool]:
    """Note that the order stays paid. Call in a transaction. Returns who left it and why, and whether it was left before.

    Raises Problem: reported_more if the provider reported another sum than the sender saw, or not_reported if there is nothing to leave:
    the provider reported nothing, or the order is not paid.
    """
    seen = None if request.reportedMinor is UNSET else request.reportedMinor
    is_repeat = await connection.execute(QUERIES["leave_paid"], *order, who, request.reason, seen) == "INSERT 0 0"
    if is_repeat and seen is not None and (sum_minor := await connection.fetchval(QUERIES["reported_sum"], *order)) is not None:
        raise Problem("reported_more", f"It has reported {sum_minor} in all", field="reportedMinor")
    left = await connection.fetchrow(QUERIES["left_paid"], *order)
    if left is None:
        raise Problem("not_reported", f"Look at the list of reported refunds; {order} is not there")
    return left_document(dict(left)), is_repeat
