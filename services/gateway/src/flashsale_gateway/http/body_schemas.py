"""The request bodies the gateway accepts, and their strict decoding: every refusal names the field and what it must be.

Webhooks are read more loosely, because the payment provider decides what they hold: other event types and further fields are allowed.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import Meta

from flashsale_core import ids, sale_times
from flashsale_core.ids import are_ids_of_order
from flashsale_core.records import MAX_RELEASED
from flashsale_gateway.http.problems import Problem

STOCK_MAX = 1_000_000_000
AMOUNT_MAX = 10**12
"""Lua's JSON writes 14 digits, so amounts stay below that."""

ProductId = Annotated[str, Meta(pattern=ids.SALE_ID_PATTERN, max_length=64, description="Letters, digits, '.', '_' and '-'")]
UserId = Annotated[str, Meta(pattern=ids.USER_ID_PATTERN, max_length=ids.ID_LENGTH_MAX, description=ids.ID_RULES[ids.USER_ID_PATTERN])]
RequestId = Annotated[str, Meta(pattern=ids.REQUEST_ID_PATTERN, max_length=ids.ID_LENGTH_MAX)]
OrderRefText = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[!-~]+(?![\s\S])")]
PaymentId = Annotated[str, Meta(pattern=ids.PAYMENT_ID_PATTERN, max_length=ids.ID_LENGTH_MAX)]
Currency = Annotated[str, Meta(pattern=r"^([A-Z]{3}|[a-z]{3})(?![\s\S])", max_length=3, description="ISO 4217, in upper or lower case")]
Moment = Annotated[datetime, Meta(tz=True, description="RFC 3339 with an offset")]
SaleTime = Annotated[datetime, Meta(tz=True, description=f"RFC 3339 with an offset, {sale_times.SALE_TIME_RULE}")]
"""A schema cannot bound a time: `sale_documents.to_definition` does."""


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    pass


class OrderRequest(Body, frozen=True):
    productId: ProductId
    quantity: Annotated[int, Meta(ge=1, le=1_000_000)]
    userId: UserId | None = None
    """Needed where the caller may name any buyer. Otherwise the buyer is the one who was proven, and a different one is refused."""
    requestId: RequestId | None = None


class SessionRequest(Body, frozen=True):
    userId: UserId | None = None
    """Needed with a service key."""


class RateLimit(Body, frozen=True):
    requests: Annotated[int, Meta(ge=1, le=1_000_000)]
    seconds: Annotated[int, Meta(ge=1, le=3600)]


MAX_RELEASED_RULE = (
    f"How many orders of one buyer may expire or be cancelled before further orders are refused. Default for a new sale: {MAX_RELEASED}"
)


DURABILITY_RULE = (
    "An order is answered after Redis has it on disk (fsync), or also after the message broker has confirmed it (confirmed), so that it is "
    "kept even if Redis' disk is lost. Default for a new sale: fsync"
)


class Price(Body, frozen=True):
    amountMinor: Annotated[int, Meta(ge=1, le=AMOUNT_MAX, description="In the currency's smallest unit: 1999 is 19.99 EUR")]
    currency: Currency


PRICE_RULE = (
    "The price of one unit: an order of two units costs twice that. A payment of another amount or currency is refunded (wrong_amount), "
    "and the hold stays. The price at the moment of the payment counts. Default for a new sale: none, and any payment pays an order"
)


ADD_RULE = (
    "Units to add to the stock of a sale that exists; negative to take some away, but not below what is reserved and sold; "
    "0 leaves the stock as it is. "
    "With a requestId or an Idempotency-Key, a repeated request adds nothing more"
)


class StockRequest(Body, frozen=True):
    """`null` removes a limit; a field left out stays as it is."""

    productId: ProductId
    stock: Annotated[int, Meta(ge=0, le=STOCK_MAX, description="All units. Send either this or add")] | msgspec.UnsetType = msgspec.UNSET
    add: Annotated[int, Meta(ge=-STOCK_MAX, le=STOCK_MAX, description=ADD_RULE)] | msgspec.UnsetType = msgspec.UNSET
    requestId: RequestId | msgspec.UnsetType = msgspec.UNSET
    startsAt: SaleTime | msgspec.UnsetType | None = msgspec.UNSET
    endsAt: SaleTime | msgspec.UnsetType | None = msgspec.UNSET
    maxPerUser: Annotated[int, Meta(ge=1, le=1000000)] | msgspec.UnsetType | None = msgspec.UNSET
    maxReleasedPerUser: Annotated[int, Meta(ge=1, le=1000000, description=MAX_RELEASED_RULE)] | msgspec.UnsetType | None = msgspec.UNSET
    paymentWindowSeconds: Annotated[int, Meta(ge=1, le=86_400)] | msgspec.UnsetType = msgspec.UNSET
    rateLimit: RateLimit | msgspec.UnsetType | None = msgspec.UNSET
    latePayment: Literal["refund", "reacquire"] | msgspec.UnsetType = msgspec.UNSET
    price: Annotated[Price | msgspec.UnsetType | None, Meta(description=PRICE_RULE)] = msgspec.UNSET
    durability: Annotated[Literal["fsync", "confirmed"], Meta(description=DURABILITY_RULE)] | msgspec.UnsetType = msgspec.UNSET
    paused: bool | msgspec.UnsetType = msgspec.UNSET


class ReturnRequest(Body, frozen=True):
    restock: Annotated[bool, Meta(description="Whether the units are for sale again. If not, they count as sold, and nobody can buy them")]


class PaymentData(Body, frozen=True, forbid_unknown_fields=False):
    orderId: OrderRefText
    paymentId: PaymentId
    amountMinor: Annotated[int, Meta(ge=0, le=AMOUNT_MAX)]
    currency: Currency


class PaymentWebhook(Body, frozen=True, forbid_unknown_fields=False):
    """A payment succeeded or failed. Further fields are ignored."""

    type: Literal["payment.succeeded", "payment.failed"]
    timestamp: Moment
    data: PaymentData


class RefundData(PaymentData, frozen=True, forbid_unknown_fields=False):
    """`amountMinor` is what this refund paid back. A payment may be refunded in parts, each with a `refundId` of its own."""

    refundId: Annotated[str, Meta(pattern=ids.PAYMENT_ID_PATTERN, max_length=ids.ID_LENGTH_MAX, description="The provider's id")]
    amountMinor: Annotated[int, Meta(ge=1, le=AMOUNT_MAX)]


class RefundWebhook(Body, frozen=True, forbid_unknown_fields=False):
    """The provider has paid money back. Further fields are ignored."""

    type: Literal["payment.refunded"]
    timestamp: Moment
    data: RefundData


class OtherEvent(Body, frozen=True, forbid_unknown_fields=False):
    """An event of any other type, with any fields: it is acknowledged and has no effect."""

    type: Annotated[str, Meta(min_length=1)]


B = TypeVar("B", bound=Body)
_MESSAGE_PATH = re.compile(r" - at `\$\.?([^`]*)`$")
_MESSAGE_FIELD = re.compile(r"field `([^`]*)`")
_EXPECTED = {f"`str` matching regex {pattern!r}": words for pattern, words in ids.ID_RULES.items()}
_KEY_BEFORE = re.compile(rb'"(\w{1,64})"\s*:\s*"?[^"]*$')


def decode(decoder: msgspec.json.Decoder[B], body: bytes) -> B:
    """Raises Problem(bad_request) that names the field."""
    try:
        return decoder.decode(body)
    except UnicodeDecodeError:
        raise Problem("bad_request", "The body must be valid UTF-8", field=field_of_bad_utf8(body)) from None
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise Problem("bad_request", _describe(error), field=field_of(str(error))) from None


def field_of(message: str) -> str:
    """The field named in a msgspec message, such as `quantity` or `rateLimit.seconds`; empty when the body itself is wrong."""
    path, named = _MESSAGE_PATH.search(message), _MESSAGE_FIELD.search(message)
    return ".".join(part for part in (path[1] if path else "", named[1] if named else "") if part)


def _describe(error: Exception) -> str:
    text = _MESSAGE_PATH.sub("", str(error)) or "The body is not valid JSON"
    for expected, words in _EXPECTED.items():
        text = text.replace(expected, words)
    return text.replace(r"(?![\s\S])", "$").replace("`object`", "a JSON object")


def field_of_bad_utf8(body: bytes) -> str:
    """The field whose text is not UTF-8; empty when every text is, or when the field is unclear."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        key = _KEY_BEFORE.search(body[: error.start])
        return key[1].decode() if key else ""
    return ""


def make_reader(kind: type[B]) -> Callable[[bytes], B]:
    decoder = msgspec.json.Decoder(kind)
    return lambda body: decode(decoder, body)


class _UncheckedOrder(OrderRequest, frozen=True):
    """An order whose ids may be any texts."""

    productId: str
    userId: str | None = None
    requestId: str | None = None


_unchecked_order = msgspec.json.Decoder(_UncheckedOrder)
_read_checked_order = make_reader(OrderRequest)


def read_order(body: bytes) -> OrderRequest:
    """Raises Problem(bad_request) that names the field."""
    # msgspec takes six times as long to match the three patterns as one match of all ids, so it only words the refusals.
    try:
        order = _unchecked_order.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return _read_checked_order(body)
    user, request = order.userId, order.requestId
    if are_ids_of_order(order.productId, "-" if user is None else user, "-" if request is None else request):
        return order
    return _read_checked_order(body)


read_stock = make_reader(StockRequest)
read_return = make_reader(ReturnRequest)
read_session = make_reader(SessionRequest)
_read_payment = make_reader(PaymentWebhook)
_read_refund = make_reader(RefundWebhook)
_read_other = make_reader(OtherEvent)
_PAYMENT_TYPES = get_args(get_type_hints(PaymentWebhook)["type"])
_REFUND_TYPES = get_args(get_type_hints(RefundWebhook)["type"])


def read_webhook(body: bytes) -> PaymentWebhook | RefundWebhook | None:
    """The payment or the refund; None when the event has another type. Raises Problem(bad_request) that names the field."""
    try:
        return _read_payment(body)
    except Problem:
        # The type is checked only now, so that a payment, as nearly every event is, is decoded once.
        kind = _type_of(body)
        if kind is None or kind in _PAYMENT_TYPES:
            raise
    return _read_refund(body) if kind in _REFUND_TYPES else None


def _type_of(body: bytes) -> str | None:
    """The event's type; None when the body has none."""
    try:
        return _read_other(body).type
    except Problem:
        return None
