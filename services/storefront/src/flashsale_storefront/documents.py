"""What the public may know of a sale now: its state and its live document. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from flashsale_core.prices import NO_PRICE, read_price
from flashsale_core.timestamps import rfc3339_of_ms


class State(StrEnum):
    NOT_STARTED = "not_started"
    ON_SALE = "on_sale"
    SOLD_OUT = "sold_out"
    """No unit is available. Units come back while `reserved` is above 0 and their holds expire."""
    PAUSED = "paused"
    ENDED = "ended"
    RECOVERING = "recovering"
    """It is not known what is for sale: Redis does not answer, or is being recovered."""


class Content(NamedTuple):
    """A live document but for the time of its answer."""

    state: State
    document: Mapping[str, Any]
    head: bytes
    """The document as JSON, open at its end for `serverTime`."""


def describe(sale_id: str, fields: Mapping[str, str], now_ms: int) -> Content:
    """Raises KeyError and ValueError if the sale's data is broken."""
    state = _state(fields, now_ms)
    starts_ms, ends_ms = int(fields["starts_ms"]), int(fields["ends_ms"])
    price = read_price(fields.get("price", NO_PRICE))
    return _content(
        state,
        {
            "productId": sale_id,
            "state": state,
            "available": int(fields["available"]),
            "reserved": int(fields["reserved"]),
            "stock": int(fields["total"]),
            "startsAt": rfc3339_of_ms(starts_ms) if starts_ms else None,
            "endsAt": rfc3339_of_ms(ends_ms) if ends_ms else None,
            "price": {"amountMinor": price.amount_minor, "currency": price.currency} if price else None,
            "maxPerUser": int(fields["max_per_user"]) or None,
            "paymentWindowSeconds": int(fields["hold_seconds"]),
        },
    )


def recovering(sale_id: str) -> Content:
    """The document of a sale that exists, and of which nothing else is known now."""
    return _content(State.RECOVERING, {"productId": sale_id, "state": State.RECOVERING})


def body_at(content: Content, now_ms: int) -> bytes:
    """The document as JSON, with the time of the answer by Redis' clock."""
    return content.head + rfc3339_of_ms(now_ms).encode() + b'"}'


def _content(state: State, document: Mapping[str, Any]) -> Content:
    return Content(state, document, msgspec.json.encode(document)[:-1] + b',"serverTime":"')


def _state(fields: Mapping[str, str], now_ms: int) -> State:
    """As lua/reserve.lua decides about an order."""
    if fields["state"] == "paused":
        return State.PAUSED
    ends_ms = int(fields["ends_ms"])
    if fields["state"] != "open" or 0 < ends_ms <= now_ms:
        return State.ENDED
    if now_ms < int(fields["starts_ms"]):
        return State.NOT_STARTED
    return State.ON_SALE if int(fields["available"]) > 0 else State.SOLD_OUT
