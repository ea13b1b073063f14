"""Replays what was published, in the order of positions, through the rules of orders (flashsale_core.orders). Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from flashsale_chaos.verdict.facts import Line
from flashsale_chaos.verdict.life import OrderLife, SaleLife, forbidden, joined
from flashsale_core.messages import (
    LedgerMarker,
    OrdersCancelled,
    OrdersExpired,
    OrdersReserved,
    OrdersReturned,
    PaymentLine,
    PaymentRefunded,
    PaymentsRecorded,
    SaleDefined,
)
from flashsale_core.orders import WAS_PAID, State

REFUND_STATES: Mapping[str, frozenset[State | None]] = {
    "late": frozenset({State.EXPIRED}),
    "sold_out": frozenset({State.EXPIRED}),
    "duplicate": WAS_PAID,
    "cancelled": frozenset({State.CANCELLED}),
    "unknown_order": frozenset({None}),
    "wrong_amount": frozenset({State.RESERVED, State.EXPIRED}),
}
"""The states that an order can have if its payment is refunded for that reason."""


class Step(NamedTuple):
    """A message of a sale, while it is applied."""

    name: str
    sale: SaleLife
    incarnation: int
    seq: int
    at_ms: int


@dataclass(slots=True)
class Replay:
    reacquires: Mapping[str, bool]
    """By sale; messages of other sales are left out."""
    whole: Mapping[int, bool]
    """Whether the ledger received every entry of an incarnation."""
    complete: Mapping[int, bool]
    """Whether it received every entry of the incarnations before it as well."""
    first_incarnation: int
    sales: dict[str, SaleLife] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    oversold: list[str] = field(default_factory=list)
    available: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """(seq, units) after each entry, by sale. Positions rise over all incarnations."""
    reserved_at: dict[str, tuple[int, int]] = field(default_factory=dict)
    """(incarnation, seq) of the first entry that reserved an order."""

    def run(self, lines: Iterable[Line]) -> None:
        for position, _, message in lines:
            if not isinstance(message, LedgerMarker | PaymentRefunded) and message.sale in self.reacquires:
                sale = self.sales.setdefault(message.sale, SaleLife())
                step = Step(message.sale, sale, position.incarnation, position.seq, message.at)
                match message:
                    case SaleDefined():
                        sale.total = message.total
                    case OrdersReserved():
                        for reserved in message.orders:
                            self._reserve(step, reserved.order_id, reserved.quantity)
                    case OrdersExpired():
                        for expired in message.orders:
                            self._expire(step, expired.order_id, expired.quantity, expired.deadline_ms or 0)
                    case OrdersCancelled():
                        for cancelled in message.orders:
                            self._move(step, cancelled.order_id, cancelled.quantity, State.CANCELLED)
                    case OrdersReturned():
                        for returned in message.orders:
                            self._move(step, returned.order_id, returned.quantity, State.RETURNED, restocked=returned.is_restocked)
                    case PaymentsRecorded():
                        for payment in message.payments:
                            self._settle(step, payment)
                    case _:
                        pass
                self._note(step)

    def _reserve(self, step: Step, order_id: str, quantity: int) -> None:
        order = step.sale.order(order_id, quantity)
        self.reserved_at.setdefault(f"{step.name}.{order_id}", (step.incarnation, step.seq))
        order.reserved_ms = order.reserved_ms or step.at_ms
        if order.state is None:
            step.sale.move(order, State.RESERVED, step.incarnation, step.at_ms)
        elif order.state in (State.EXPIRED, State.CANCELLED) and order.changed_in == step.incarnation == self.first_incarnation:
            self._break(step, order_id, f"reserved after {order.state}")

    def _expire(self, step: Step, order_id: str, quantity: int, deadline_ms: int) -> None:
        order = step.sale.order(order_id, quantity)
        # A rebuild says of a hold that it broke that it ended when it began.
        is_broken_hold = step.incarnation > self.first_incarnation and step.at_ms <= order.reserved_ms
        if step.at_ms < deadline_ms and not is_broken_hold:
            self._break(step, order_id, f"expired {deadline_ms - step.at_ms} ms before its deadline")
        self._move(step, order_id, quantity, State.EXPIRED)

    def _settle(self, step: Step, payment: PaymentLine) -> None:
        if payment.result == "refund_due":
            self._refund(step, payment)
        elif payment.result == "paid":
            order = step.sale.order(payment.order_id, payment.quantity)
            if order.state is State.RETURNED and order.payment_id == payment.payment_id:
                # The webhook came again after the return.
                return
            if order.state is State.PAID and order.payment_id != payment.payment_id:
                self._break(step, payment.order_id, f"paid by {payment.payment_id} after {order.payment_id}")
            self._move(step, payment.order_id, payment.quantity, State.PAID)
            order.payment_id = order.payment_id or payment.payment_id

    def _move(self, step: Step, order_id: str, quantity: int, state: State, *, restocked: bool = False) -> None:
        order, whole = step.sale.order(order_id, quantity), self.whole.get(step.incarnation, False)
        reacquires, complete = self.reacquires[step.name], self.complete.get(step.incarnation, False)
        for words in forbidden(order, state, step.incarnation, step.at_ms, reacquires=reacquires, whole=whole, complete=complete):
            self._break(step, order_id, words)
        if joined(order, state):
            step.sale.move(order, state, step.incarnation, step.at_ms, restocked=restocked)

    def _refund(self, step: Step, payment: PaymentLine) -> None:
        order, states = step.sale.orders.get(payment.order_id, OrderLife(0)), REFUND_STATES.get(payment.reason)
        # An order that was not changed here may have been changed by an entry that is missing before.
        whole = self.whole if order.changed_in == step.incarnation else self.complete
        known = order.changed_in in (0, step.incarnation) and whole.get(step.incarnation, False)
        if known and states is not None and order.state not in states:
            words = f"payment {payment.payment_id} refunded as {payment.reason}, and the order was {order.state or 'unknown'}"
            self._break(step, payment.order_id, words)

    def _note(self, step: Step) -> None:
        sale = step.sale
        # No position says when restocked units are for sale: after the confirm of their entry. They count once some of them are sold.
        sale.restocking = max(0, min(sale.restocking, sale.available))
        self.available.setdefault(step.name, []).append((step.seq, sale.available - sale.restocking))
        if sale.available < 0 and self.complete.get(step.incarnation, False):
            units = f"{sale.held} held and {sale.sold} sold of {sale.total}"
            self.oversold.append(f"{step.name} at {step.incarnation}.{step.seq}: {units}")

    def _break(self, step: Step, order_id: str, words: str) -> None:
        self.broken.append(f"{step.name}.{order_id} at {step.incarnation}.{step.seq}: {words}")
