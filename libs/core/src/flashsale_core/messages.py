"""The messages between services: written as JSON by the Lua scripts, relayed as they are, read by the workers.

Version 1. Orders and payments are arrays, not objects: one message carries up to 256 of them and travels through two queues.
"""

from typing import Literal

import msgspec

VERSION = 1


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
    """A payment and what became of it. `user_id` is empty, `quantity` and `deadline_ms` are 0 for an unknown order."""

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
    """When this sale was created, in ms: tells two sales of one name apart."""
    at: int
    """Redis time of the script call, in ms since the Unix epoch."""


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


class SaleDefined(_Message, frozen=True, tag="sale.defined"):
    owner: str
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


class SaleRetired(_Message, frozen=True, tag="sale.retired"):
    state: Literal["closed", "removed"]
    total: int
    available: int
    reserved: int
    sold: int


class WaitProbed(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="wait.probed"):
    """Tells of no sale: sent through a wait queue to learn whether it gives back."""

    v: Literal[1]
    window: int
    at: int
    """Redis time, in ms since the Unix epoch."""


Message = OrdersReserved | OrdersExpired | OrdersCancelled | PaymentsRecorded | SaleDefined | SaleRetired

_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_wait_decoder: msgspec.json.Decoder[Message | WaitProbed] = msgspec.json.Decoder(Message | WaitProbed)


def decode(body: bytes) -> Message:
    """The message in `body`.

    Raises msgspec.MsgspecError (a ValueError) when the body is no message of a version this release reads.
    """
    return _decoder.decode(body)


def decode_wait(body: bytes) -> Message | WaitProbed:
    """As `decode`, of what comes out of a wait queue."""
    return _wait_decoder.decode(body)


def encode(message: Message | WaitProbed) -> bytes:
    return msgspec.json.encode(message)
