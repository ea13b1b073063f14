"""Turns a batch of messages into rows of the ledger. Pure.

Messages arrive in any order and any number of times. This module merges the messages of a batch; the statements in queries.sql merge the
result with earlier batches by the same rules.
"""

from collections.abc import Iterable, Set
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, assert_never

import msgspec

from flashsale_core.entry_ranges import EntryRange, entry_ranges, position_of
from flashsale_core.messages import (
    RESTORED,
    LedgerMarker,
    Message,
    OrdersCancelled,
    OrdersExpired,
    OrdersReserved,
    OrdersReturned,
    PaymentLine,
    PaymentRefunded,
    PaymentsRecorded,
    Position,
    SaleDefined,
    SaleRetired,
)
from flashsale_core.orders import State, supersedes
from flashsale_core.owners import is_released

_NO_TERMS = frozenset({"v", "sale", "epoch", "at", "seq", "by"})
"""Fields of a message that have columns of their own."""


class OrderKey(NamedTuple):
    sale_id: str
    epoch: int
    order_id: str


class PaymentKey(NamedTuple):
    payment_id: str
    sale_id: str
    order_id: str


# Structs, because a batch creates thousands: each takes a tenth of the time of a frozen dataclass.
class OrderRow(msgspec.Struct, frozen=True, gc=False):
    state: State
    user_id: str
    quantity: int
    deadline_ms: int
    at_ms: int
    reserved_at_ms: int | None = None
    payment_id: str | None = None
    restocked: bool | None = None
    """Whether the units of a returned order are for sale again; None for other orders."""


class EventRow(msgspec.Struct, frozen=True, gc=False):
    at_ms: int
    message_id: str
    by: str = ""
    """Who asked for the change; empty if nobody did, or if it is not known."""


@dataclass(frozen=True, slots=True)
class PaymentRow:
    epoch: int
    line: PaymentLine
    at_ms: int

    @property
    def weight(self) -> tuple[bool, bool, bool, int]:
        """Decides between two rows of one payment: the heavier row is kept.

        A success outweighs a failure, then a paid order outweighs a refund, then an amount outweighs none, then the earlier row the later.
        """
        return self.line.result != "failed", self.line.result == "paid", self.line.reason != RESTORED, -self.at_ms


class ReportKey(NamedTuple):
    """A refund that the provider reported: its payment, and the provider's id of the refund."""

    payment_id: str
    sale_id: str
    order_id: str
    reference: str


class ChangeKey(NamedTuple):
    sale_id: str
    epoch: int
    at_ms: int
    change: str
    """defined, released, closed or removed."""


class ChangeRow(NamedTuple):
    """A change of a sale that somebody asked for."""

    by: str
    terms: dict[str, Any]
    """What the message says about the sale after the change."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows by key. They are written in the order of their keys, so that two workers never deadlock."""

    orders: dict[OrderKey, OrderRow] = field(default_factory=dict)
    events: dict[tuple[OrderKey, State], EventRow] = field(default_factory=dict)
    payments: dict[PaymentKey, PaymentRow] = field(default_factory=dict)
    sales: dict[tuple[str, int], SaleDefined] = field(default_factory=dict)
    refunds: dict[PaymentKey, PaymentRow] = field(default_factory=dict)
    reports: dict[ReportKey, PaymentRefunded] = field(default_factory=dict)
    retired: dict[tuple[str, int], SaleRetired] = field(default_factory=dict)
    changes: dict[ChangeKey, ChangeRow] = field(default_factory=dict)
    received: list[EntryRange] = field(default_factory=list)
    claimed: list[EntryRange] = field(default_factory=list)
    """The entries that have a row here, also those of which a line is missing: none of them may be late."""
    markers: dict[str, int] = field(default_factory=dict)
    """When each marker was published, in ms."""
    consumer: str = ""
    """Which consumer of the queue received the markers."""


def plan(messages: Iterable[tuple[str, Message]], incomplete: Set[Position] = frozenset(), late: Set[Position] = frozenset()) -> Rows:
    """The rows for (message id, message) pairs.

    The entries at `incomplete` and at `late` positions do not count as received. Late ones have no effect at all.
    """
    rows = Rows()
    positions: set[Position] = set()
    for message_id, message in messages:
        position = position_of(message)
        if position is not None:
            positions.add(position)
        if position not in late:
            _add(rows, message_id, message)
    rows.claimed.extend(entry_ranges(positions - late))
    rows.received.extend(entry_ranges(positions - incomplete - late) if incomplete else rows.claimed)
    return rows


def without_arrivals(rows: Rows) -> Rows:
    """The same rows without positions and markers."""
    return replace(rows, received=[], markers={})


def arrivals(rows: Rows) -> Rows:
    """Only the positions and markers."""
    return Rows(received=rows.received, claimed=rows.claimed, markers=rows.markers, consumer=rows.consumer)


def _add(rows: Rows, message_id: str, message: Message) -> None:
    match message:
        case OrdersReserved():
            for line in message.orders:
                row = OrderRow(State.RESERVED, line.user_id, line.quantity, message.deadline, message.at, message.at)
                _add_order(rows, OrderKey(message.sale, message.epoch, line.order_id), row, message_id)
        case OrdersExpired() | OrdersCancelled():
            state = State.EXPIRED if isinstance(message, OrdersExpired) else State.CANCELLED
            for released in message.orders:
                row = OrderRow(state, released.user_id, released.quantity, released.deadline_ms or 0, message.at)
                _add_order(rows, OrderKey(message.sale, message.epoch, released.order_id), row, message_id)
        case OrdersReturned():
            for returned in message.orders:
                row = OrderRow(State.RETURNED, returned.user_id, returned.quantity, returned.deadline_ms, message.at, None,
                               returned.payment_id, returned.is_restocked)  # fmt: skip
                _add_order(rows, OrderKey(message.sale, message.epoch, returned.order_id), row, message_id, returned.by)
        case PaymentsRecorded():
            for payment in message.payments:
                _add_payment(rows, message, payment, message_id)
        case PaymentRefunded():
            rows.reports.setdefault(ReportKey(message.payment_id, message.sale, message.order_id, message.reference), message)
        case SaleDefined():
            _add_change(rows, message, "released" if is_released(message.owner) else "defined")
            known = rows.sales.get((message.sale, message.epoch))
            if known is None or (message.generation, message.at) > (known.generation, known.at):
                rows.sales[message.sale, message.epoch] = message
        case SaleRetired():
            _add_change(rows, message, message.state)
            gone = rows.retired.get((message.sale, message.epoch))
            if gone is None or gone.state == "closed":
                rows.retired[message.sale, message.epoch] = message
        case LedgerMarker():
            rows.markers[message.marker] = message.at
        case _:
            assert_never(message)


def _add_order(rows: Rows, key: OrderKey, row: OrderRow, message_id: str, by: str = "") -> None:
    known = rows.orders.get(key)
    rows.orders[key] = row if known is None else merged(known, row)
    rows.events.setdefault((key, row.state), EventRow(row.at_ms, message_id, by))


def _add_change(rows: Rows, message: SaleDefined | SaleRetired, change: str) -> None:
    """Nothing for a message without an author: an older release wrote it, or a rebuild, or a sale was removed because of its age."""
    if message.by:
        terms = {name: value for name, value in msgspec.structs.asdict(message).items() if name not in _NO_TERMS}
        rows.changes[ChangeKey(message.sale, message.epoch, message.at, change)] = ChangeRow(message.by, terms)


def merged(known: OrderRow, new: OrderRow) -> OrderRow:
    """Merge two rows of one order. The result does not depend on which message arrived first."""
    return msgspec.structs.replace(
        known,
        state=new.state if supersedes(new.state, known.state) else known.state,
        deadline_ms=max(known.deadline_ms, new.deadline_ms),
        at_ms=max(known.at_ms, new.at_ms),
        reserved_at_ms=known.reserved_at_ms or new.reserved_at_ms,
        payment_id=known.payment_id or new.payment_id,
        restocked=new.restocked if known.restocked is None else known.restocked,
    )


def _add_payment(rows: Rows, message: PaymentsRecorded, line: PaymentLine, message_id: str) -> None:
    key = PaymentKey(line.payment_id, message.sale, line.order_id)
    row, known = PaymentRow(message.epoch, line, message.at), rows.payments.get(key)
    if known is None or row.weight > known.weight:
        rows.payments[key] = row
    if line.result == "refund_due":
        # Kept apart from payments: once due, a refund stays due, whatever else arrives about its payment. A rebuild only lacks its amount.
        due = rows.refunds.get(key)
        if due is None or (due.line.reason == RESTORED and line.reason != RESTORED):
            rows.refunds[key] = row
    if line.result == "paid":
        order = OrderRow(State.PAID, line.user_id, line.quantity, line.deadline_ms, message.at, payment_id=line.payment_id)
        _add_order(rows, OrderKey(message.sale, message.epoch, line.order_id), order, message_id)
