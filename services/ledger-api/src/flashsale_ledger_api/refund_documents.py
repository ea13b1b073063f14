"""A refund as its document, and the key by which pages follow each other. Pure."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from flashsale_core.ids import order_name
from flashsale_core.timestamps import rfc3339
from flashsale_ledger_api.problems import Problem

STATES = ("due", "sent", "failed")
_EPOCH = datetime.fromtimestamp(0, UTC)
_KEY = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})")


class PageKey(NamedTuple):
    """Where the next page begins: after the refund with this age and id. Refunds are listed from the oldest on."""

    created_at: datetime
    refund_id: int

    def __str__(self) -> str:
        return f"{(self.created_at - _EPOCH) // timedelta(microseconds=1)}.{self.refund_id}"


FIRST = PageKey(_EPOCH, 0)


def read_key(text: str) -> PageKey:
    """Raises Problem(bad_request) if it is no key of an earlier answer."""
    match = _KEY.fullmatch(text)
    if match is None:
        raise Problem("bad_request", "Must be the value of `next` in the previous page", field="after")
    try:
        return PageKey(_EPOCH + timedelta(microseconds=int(match[1])), int(match[2]))
    except OverflowError:
        raise Problem("bad_request", "Must be the value of `next` in the previous page", field="after") from None


def key_of(row: Mapping[str, Any]) -> PageKey:
    return PageKey(row["created_at"], row["refund_id"])


def to_document(row: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """`userId` is null if the ledger has no order of this name."""
    return {
        "refundId": str(row["refund_id"]),
        "state": row["state"],
        "reason": row["reason"],
        "productId": row["sale_id"],
        "orderId": order_name(row["sale_id"], row["order_id"]),
        "userId": row["user_id"],
        "paymentId": row["payment_id"],
        "amountMinor": row["amount_minor"],
        "refundedMinor": row["refunded_minor"],
        "currency": row["currency"],
        "createdAt": rfc3339(row["created_at"]),
        "changedAt": rfc3339(row["changed_at"]) if row["changed_at"] else None,
        "ageSeconds": max(0, int((now - row["created_at"]).total_seconds())),
    }


def with_history(row: Mapping[str, Any], events: Iterable[Mapping[str, Any]], now: datetime) -> dict[str, Any]:
    """The refund with its changes, the first one first. `who` is the name of an admin key, or empty for the provider."""
    return to_document(row, now) | {"returnedBy": row["returned_by"], "history": [_event(event) for event in events]}


def _event(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "at": rfc3339(row["at"]),
        "source": row["source"],
        "who": row["who"],
        "fromState": row["from_state"],
        "toState": row["to_state"],
        "refundedMinor": row["refunded_minor"],
        "reference": row["reference"],
        "reason": row["reason"],
    }
