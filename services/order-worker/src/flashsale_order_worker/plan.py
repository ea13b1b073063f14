"""What a batch of messages means for the ledger: messages in, rows out. Pure.

Messages come in any order and any number of times. Within a batch they are folded here; against earlier batches the statements in
queries.sql do the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

from flashsale_core.messages import (
    Message,
    OrdersCancelled,
    OrdersExpired,
    OrdersReserved,
    PaymentLine,
    PaymentsRecorded,
    SaleDefined,
    SaleRetired,
)
from flashsale_core.orders import State, supersedes


class OrderKey(NamedTuple):
    sale_id: str
    epoch: int
    order_id: str


class PaymentKey(NamedTuple):
    payment_id: str
    sale_id: str
    order_id: str


@dataclass(frozen=True, slots=True)
class OrderRow:
    state: State
    user_id: str
    quantity: int
    deadline_ms: int
    at_ms: int
    payment_id: str | None = None


@dataclass(frozen=True, slots=True)
class EventRow:
    at_ms: int
    message_id: str


@dataclass(frozen=True, slots=True)
class PaymentRow:
    epoch: int
    line: PaymentLine
    at_ms: int


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows by key. Written in the order of their keys, so that two workers never wait for each other in a circle."""

    orders: dict[OrderKey, OrderRow] = field(default_factory=dict)
    events: dict[tuple[OrderKey, State], EventRow] = field(default_factory=dict)
    payments: dict[PaymentKey, PaymentRow] = field(default_factory=dict)
    sales: dict[tuple[str, int], SaleDefined] = field(default_factory=dict)
    retired: dict[tuple[str, int], SaleRetired] = field(default_factory=dict)

    @property
    def refunds(self) -> dict[PaymentKey, PaymentRow]:
        return {key: row for key, row in self.payments.items() if row.line.result == "refund_due"}


def plan(messages: Iterable[tuple[str, Message]]) -> Rows:
    """The rows of (message id, message) pairs."""
    rows = Rows()
    for message_id, message in messages:
        _add(rows, message_id, message)
    return rows


def _add(rows: Rows, message_id: str, message: Message) -> None:
    match message:
        case OrdersReserved():
            for line in message.orders:
                row = OrderRow(State.RESERVED, line.user_id, line.quantity, message.deadline, message.at)
                _enter(rows, OrderKey(message.sale, message.epoch, line.order_id), row, message_id)
        case OrdersExpired() | OrdersCancelled():
            state = State.EXPIRED if isinstance(message, OrdersExpired) else State.CANCELLED
            for released in message.orders:
                row = OrderRow(state, released.user_id, released.quantity, released.deadline_ms or 0, message.at)
                _enter(rows, OrderKey(message.sale, message.epoch, released.order_id), row, message_id)
        case PaymentsRecorded():
            for payment in message.payments:
                _pay(rows, message, payment, message_id)
        case SaleDefined():
            known = rows.sales.get((message.sale, message.epoch))
            if known is None or message.generation > known.generation:
                rows.sales[message.sale, message.epoch] = message
        case SaleRetired():
            gone = rows.retired.get((message.sale, message.epoch))
            if gone is None or gone.state == "closed":
                rows.retired[message.sale, message.epoch] = message
        case _:
            assert_never(message)


def _enter(rows: Rows, key: OrderKey, row: OrderRow, message_id: str) -> None:
    known = rows.orders.get(key)
    if known is None or supersedes(row.state, known.state):
        rows.orders[key] = row
    rows.events.setdefault((key, row.state), EventRow(row.at_ms, message_id))


def _pay(rows: Rows, message: PaymentsRecorded, line: PaymentLine, message_id: str) -> None:
    key = PaymentKey(line.payment_id, message.sale, line.order_id)
    known = rows.payments.get(key)
    if known is None or (known.line.result == "failed" and line.result != "failed"):
        rows.payments[key] = PaymentRow(message.epoch, line, message.at)
    if line.result == "paid":
        row = OrderRow(State.PAID, line.user_id, line.quantity, line.deadline_ms, message.at, line.payment_id)
        _enter(rows, OrderKey(message.sale, message.epoch, line.order_id), row, message_id)
