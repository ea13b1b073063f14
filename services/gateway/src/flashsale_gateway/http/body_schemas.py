"""The bodies the gateway takes, and the strict reading of them: every refusal names the field and the fix.

Webhooks are read with patience where their sender decides: events of other types and further fields are no errors.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import Meta

from flashsale_core import ids, sale_times
from flashsale_core.records import MAX_RELEASED
from flashsale_gateway.http.problems import Problem

STOCK_MAX = 1_000_000_000
AMOUNT_MAX = 10**12
"""Lua's JSON writes 14 digits: amounts stay below."""

ProductId = Annotated[str, Meta(pattern=ids.SALE_ID_PATTERN, max_length=64, description="Letters, digits, '.', '_' and '-'")]
UserId = Annotated[str, Meta(pattern=ids.USER_ID_PATTERN, max_length=ids.ID_LENGTH_MAX, description=ids.ID_RULES[ids.USER_ID_PATTERN])]
RequestId = Annotated[str, Meta(pattern=ids.REQUEST_ID_PATTERN, max_length=ids.ID_LENGTH_MAX)]
OrderRefText = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[!-~]+(?![\s\S])")]
PaymentId = Annotated[str, Meta(pattern=ids.PAYMENT_ID_PATTERN, max_length=ids.ID_LENGTH_MAX)]
Moment = Annotated[datetime, Meta(tz=True, description="RFC 3339 with an offset")]
SaleTime = Annotated[datetime, Meta(tz=True, description=f"RFC 3339 with an offset, {sale_times.SALE_TIME_RULE}")]
"""A schema cannot bound a time: `sales.to_definition` does."""


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    pass


class OrderRequest(Body, frozen=True):
    userId: UserId
    productId: ProductId
    quantity: Annotated[int, Meta(ge=1, le=1_000_000)]
    requestId: RequestId | None = None


class RateLimit(Body, frozen=True):
    requests: Annotated[int, Meta(ge=1, le=1_000_000)]
    seconds: Annotated[int, Meta(ge=1, le=3600)]


RELEASED_IN_WORDS = f"Orders of one buyer that may expire or be cancelled before more are refused. Left out in a new sale: {MAX_RELEASED}"


class StockRequest(Body, frozen=True):
    """`null` takes a limit away; a field left out stays as it is."""

    productId: ProductId
    stock: Annotated[int, Meta(ge=0, le=STOCK_MAX)]
    startsAt: SaleTime | msgspec.UnsetType | None = msgspec.UNSET
    endsAt: SaleTime | msgspec.UnsetType | None = msgspec.UNSET
    maxPerUser: Annotated[int, Meta(ge=1, le=1000000)] | msgspec.UnsetType | None = msgspec.UNSET
    maxReleasedPerUser: Annotated[int, Meta(ge=1, le=1000000, description=RELEASED_IN_WORDS)] | msgspec.UnsetType | None = msgspec.UNSET
    paymentWindowSeconds: Annotated[int, Meta(ge=1, le=86_400)] | msgspec.UnsetType = msgspec.UNSET
    rateLimit: RateLimit | msgspec.UnsetType | None = msgspec.UNSET
    latePayment: Literal["refund", "reacquire"] | msgspec.UnsetType = msgspec.UNSET
    paused: bool | msgspec.UnsetType = msgspec.UNSET


class PaymentData(Body, frozen=True, forbid_unknown_fields=False):
    orderId: OrderRefText
    paymentId: PaymentId
    amountMinor: Annotated[int, Meta(ge=0, le=AMOUNT_MAX)]
    currency: Annotated[
        str, Meta(pattern=r"^([A-Z]{3}|[a-z]{3})(?![\s\S])", max_length=3, description="ISO 4217; some providers send it in lower case")
    ]


class PaymentWebhook(Body, frozen=True, forbid_unknown_fields=False):
    """A payment's end. The provider may send further fields, which are ignored."""

    type: Literal["payment.succeeded", "payment.failed"]
    timestamp: Moment
    data: PaymentData


class OtherEvent(Body, frozen=True, forbid_unknown_fields=False):
    """An event of any other type, with whatever fields: it is noted and has no effect."""

    type: Annotated[str, Meta(min_length=1)]


B = TypeVar("B", bound=Body)
_PATH = re.compile(r" - at `\$\.?([^`]*)`$")
_NAMED = re.compile(r"field `([^`]*)`")
_EXPECTED = {f"`str` matching regex {pattern!r}": words for pattern, words in ids.ID_RULES.items()}
_KEY_BEFORE = re.compile(rb'"(\w{1,64})"\s*:\s*"?[^"]*$')


def decode(decoder: msgspec.json.Decoder[B], body: bytes) -> B:
    """Raises Problem(bad_request) naming the field."""
    try:
        return decoder.decode(body)
    except UnicodeDecodeError:
        raise Problem("bad_request", "The body must be valid UTF-8", field=field_of_bad_utf8(body)) from None
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise Problem("bad_request", _words(error), field=field_of(str(error))) from None


def field_of(message: str) -> str:
    """The field a msgspec message speaks of: `quantity`, `rateLimit.seconds`; empty when it is the body itself."""
    path, named = _PATH.search(message), _NAMED.search(message)
    return ".".join(part for part in (path[1] if path else "", named[1] if named else "") if part)


def _words(error: Exception) -> str:
    text = _PATH.sub("", str(error)) or "The body cannot be read"
    for expected, words in _EXPECTED.items():
        text = text.replace(expected, words)
    return text.replace(r"(?![\s\S])", "$").replace("`object`", "a JSON object")


def field_of_bad_utf8(body: bytes) -> str:
    """The field whose text is broken; empty when there is none, or it cannot be told."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        found = _KEY_BEFORE.search(body[: error.start])
        return found[1].decode() if found else ""
    return ""


def reader(kind: type[B]) -> Callable[[bytes], B]:
    decoder = msgspec.json.Decoder(kind)
    return lambda body: decode(decoder, body)


read_order = reader(OrderRequest)
read_stock = reader(StockRequest)
_read_payment = reader(PaymentWebhook)
_read_other = reader(OtherEvent)
_PAYMENT_TYPES = get_args(get_type_hints(PaymentWebhook)["type"])


def read_webhook(body: bytes) -> PaymentWebhook | None:
    """The payment; None when the event is of a type that is not acted on. Raises Problem(bad_request) naming the field."""
    try:
        return _read_payment(body)
    except Problem:
        # The type is looked at only now: payments, which are nearly all events, are decoded once.
        if _is_of_another_type(body):
            return None
        raise


def _is_of_another_type(body: bytes) -> bool:
    try:
        return _read_other(body).type not in _PAYMENT_TYPES
    except Problem:
        return False
