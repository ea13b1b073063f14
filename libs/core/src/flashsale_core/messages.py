"""The messages between services: written as JSON by the Lua scripts, relayed as they are, read by the workers.

Version 1. Orders and payments are arrays, not objects, because a message has up to 256 of them and goes through two queues. A body is
one or several messages, one per line: what a gateway publishes within a few milliseconds is sent together.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated, Generic, Literal, NamedTuple, TypeVar

import msgspec

VERSION = 1
RESTORED = "restored"
"""The reason of a payment that only Redis knew. Redis does not keep amounts: its amount is 0, and a person must look it up."""
Shard = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
# Lua's numbers are exact up to here.
Counter = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Position(NamedTuple):
    """The place of an outbox entry. `shard` is the outbox's, which may differ from the shard of a sale in the entry."""

    shard: Shard
    incarnation: Counter
    """The history of the shard's Redis, numbered from 1."""
    seq: Counter
    """The entry's number in the shard; it rises by 1 with each entry of an incarnation."""


class OrderLine(msgspec.Struct, array_like=True, frozen=True, gc=False):
    order_id: str
    user_id: str
    quantity: int
    deadline_ms: int | None = None
    traceparent: str | None = None


class ReservedLine(msgspec.Struct, array_like=True, frozen=True, gc=False):
    order_id: str
    user_id: str
    quantity: int
    traceparent: str | None = None


PaymentResult = Literal["paid", "refund_due", "failed"]


class PaymentLine(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A payment and its result. If the order is unknown, `user_id` is empty, and `quantity` and `deadline_ms` are 0."""

    order_id: str
    payment_id: str
    result: PaymentResult
    reason: str
    amount_minor: int
    currency: str
    user_id: str
    quantity: int
    deadline_ms: int
    traceparent: str = ""


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    v: Literal[1]
    sale: str
    epoch: int
    """When this sale was created, in ms: it distinguishes two sales of one name."""
    at: int
    """Redis time of the script call, in ms since the Unix epoch."""
    seq: Position | None = None
    """The entry that contains this line, perhaps with other lines; None if an older release wrote it."""


class OrdersReserved(_Message, frozen=True, tag="order.reserved"):
    deadline: int
    orders: list[ReservedLine]


class OrdersExpired(_Message, frozen=True, tag="order.expired"):
    orders: list[OrderLine]


class OrdersCancelled(_Message, frozen=True, tag="order.cancelled"):
    orders: list[OrderLine]


class PaymentsRecorded(_Message, frozen=True, tag="payment.recorded"):
    """`epoch` is 0 when the sale itself is unknown."""

    payments: list[PaymentLine]
    sold_out: Counter = 0
    """The units of the sale if these payments sold the last of them, and no hold is left; otherwise 0, as in older releases."""
    restocked: Counter = 0
    """With `sold_out`: the units that were returned and put on sale again, since the sale exists; 0 in older releases."""


class PaymentRefunded(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="payment.refunded"):
    """What the provider reported to have paid back. Redis has no part in it, so it has neither an epoch nor a position.

    It has the routing key of `payment.recorded`, for which every installed broker has a binding.
    """

    v: Literal[1]
    sale: str
    order_id: str
    payment_id: str
    reference: str
    """The provider's id of the refund. A payment may be refunded in parts, each with an id of its own."""
    amount_minor: Annotated[int, msgspec.Meta(gt=0, le=2**53)]
    currency: str
    at: Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999)]
    """When the gateway received the report, in ms since the Unix epoch."""


class ReturnedLine(msgspec.Struct, array_like=True, frozen=True, gc=False):
    order_id: str
    user_id: str
    quantity: int
    deadline_ms: int
    payment_id: str
    """The payment that paid the order, and whose refund is due."""
    is_restocked: bool
    """Whether the units are for sale again, once the broker has confirmed this; else they stay sold."""
    traceparent: str = ""
    by: str = ""
    """Who asked for the return: the name of an administrator's key. Empty if an older release or a rebuild wrote it."""


class OrdersReturned(_Message, frozen=True, tag="order.returned"):
    """Paid orders that were returned. It has the routing key of `payment.recorded`, for which every installed broker has a binding."""

    orders: list[ReturnedLine]


class SaleDefined(_Message, frozen=True, tag="sale.defined"):
    """`at` rises with every definition of a sale, whatever Redis' clock does. The fields with a default are absent in older releases."""

    owner: str
    """A sale that its owner gave up has none: see flashsale_core.owners."""
    generation: int
    total: int
    available: int
    reserved: int
    sold: int
    starts_ms: int
    ends_ms: int
    max_per_user: int
    hold_seconds: int
    rate_requests: int
    rate_seconds: int
    late_payment: str
    state: str
    max_released: int = 20
    base: int = 0
    """The last generation of the previous owner; the generations of this owner are added to it."""
    durability: Literal["fsync", "confirmed"] = "fsync"
    price: str = ""
    """As flashsale_core.prices writes it; empty if the sale has none."""
    by: str = ""
    """Who asked for the change: the name of an administrator's key, or of a service. Empty if an older release or a rebuild wrote it."""
    requests: str = ""
    """The request ids of the last changes that had one, oldest first, with blanks between: a repeat of one of them changes nothing."""
    restocked: int = 0
    """As in PaymentsRecorded."""


class SaleRetired(_Message, frozen=True, tag="sale.retired"):
    state: Literal["closed", "removed"]
    total: int
    available: int
    reserved: int
    sold: int
    by: str = ""
    """As in SaleDefined; also empty if a finished sale was removed because of its age."""


class LedgerMarker(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="ledger.marker"):
    """A mark of the keeper, without a sale: once the ledger has it, the queue `orders` was read up to the moment of its publication."""

    v: Literal[1]
    # Both are bounded, because a marker that the ledger rejects would take the positions of its batch with it.
    marker: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f-]{36}$")]
    at: Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999)]
    """Time of publication, in ms since the Unix epoch."""


class WaitProbed(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="wait.probed"):
    """A probe, without a sale: it is sent through a wait queue to check that messages return from it."""

    v: Literal[1]
    window: int
    at: int
    """Redis time, in ms since the Unix epoch."""


T = TypeVar("T")


class Read(NamedTuple, Generic[T]):
    messages: list[T]
    errors: list[str]


Message = (
    OrdersReserved
    | OrdersExpired
    | OrdersCancelled
    | OrdersReturned
    | PaymentsRecorded
    | PaymentRefunded
    | SaleDefined
    | SaleRetired
    | LedgerMarker
)

_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_wait_decoder: msgspec.json.Decoder[Message | WaitProbed] = msgspec.json.Decoder(Message | WaitProbed)


def decode(line: bytes) -> Message:
    """One message.

    Raises msgspec.MsgspecError (a ValueError) if it is not a message of a version that this release reads.
    """
    return _decoder.decode(line)


class _Positioned(msgspec.Struct):
    seq: Position | None = None


_position_decoder = msgspec.json.Decoder(_Positioned)


def position_in(line: bytes) -> Position | None:
    """The position in a line, even if the line is no message that this release reads; None if it has none that can be read."""
    try:
        return _position_decoder.decode(line).seq
    except ValueError:
        return None


def positions_in(body: bytes) -> list[Position]:
    """The positions that the lines of an entry's body contain. A field that contains no messages has none."""
    return [position for line in body.split(b"\n") if (position := position_in(line)) is not None]


def join(lines: Iterable[bytes]) -> bytes:
    """The body of several messages: one per line (https://jsonlines.org)."""
    return b"\n".join(lines)


def read(body: bytes) -> Read[Message]:
    """The messages of a body, and an error for each line that cannot be decoded."""
    return _read(_decoder, body)


def read_wait(body: bytes) -> Read[Message | WaitProbed]:
    """As `read`, for a body from a wait queue, which may contain probes."""
    return _read(_wait_decoder, body)


def _read(decoder: msgspec.json.Decoder[T], body: bytes) -> Read[T]:
    # All lines at once takes half as long. If one of them cannot be decoded, each line is decoded by itself.
    with suppress(msgspec.MsgspecError, ValueError):
        messages = decoder.decode_lines(body)
        if len(messages) == body.count(b"\n") + 1:
            return Read(messages, [])
    messages, errors = [], []
    for line in body.split(b"\n"):
        try:
            messages.append(decoder.decode(line))
        except (msgspec.MsgspecError, ValueError) as error:
            errors.append(str(error))
    return Read(messages, errors)


def traced(message: Message) -> list[tuple[str, str]]:
    """(order id as clients name it, traceparent) of each order or payment that is traced."""
    match message:
        case OrdersReserved() | OrdersExpired() | OrdersCancelled() | OrdersReturned():
            contexts = [(line.order_id, line.traceparent) for line in message.orders if line.traceparent]
        case PaymentsRecorded():
            contexts = [(line.order_id, line.traceparent) for line in message.payments if line.traceparent]
        case _:
            return []
    return [(f"{message.sale}.{order_id}" if message.sale else order_id, context) for order_id, context in contexts]


def encode(message: Message | WaitProbed) -> bytes:
    return msgspec.json.encode(message)
