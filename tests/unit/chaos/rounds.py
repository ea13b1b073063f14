"""Rounds for tests of the verdict: calls of buyers, and what the stores contain afterwards."""

from collections.abc import Sequence
from typing import Any

from flashsale_chaos.context import Context
from flashsale_chaos.faults import Fault
from flashsale_chaos.history import Ask, Call
from flashsale_chaos.sales import PRICE_MINOR, Sale
from flashsale_chaos.verdict.facts import Facts, Incarnation, Line, OrderRow
from flashsale_chaos.verdict.verdict import judge_history
from flashsale_core.messages import (
    OrderLine,
    OrdersCancelled,
    OrdersExpired,
    OrdersReserved,
    PaymentLine,
    PaymentsRecorded,
    Position,
    ReservedLine,
    SaleDefined,
)
from flashsale_core.orders import State

FSYNC, CONFIRMED = Sale("fast", "fsync", "refund"), Sale("sure", "confirmed", "reacquire")
SALES = (FSYNC, CONFIRMED)
FIRST = Incarnation(1, -100.0, -99.0, 0)
SECOND = Incarnation(2, 20.0, 21.0, 0)
HOLD_MS = 5_000


def asked(ask: Ask, sale: str, order: str, at: float, status: int = 200, **more: Any) -> Call:
    fields: dict[str, Any] = {"shown_id": f"{sale}.{order}"} if more.get("state") else {}
    fields |= more
    return Call(ask=ask, sale=sale, order_id=order, began=at, ended=at + 0.1, status=status, **{"gateway": 0, **fields})


def ordered(sale: str, order: str, at: float, status: int = 200, **more: Any) -> Call:
    fields = {"code": "accepted", "state": "reserved"} if status == 200 else {}
    return asked(Ask.ORDER, sale, order, at, status, **{"user": "u", "quantity": 1, **fields, **more})


def paid(sale: str, order: str, payment: str, at: float, code: str = "paid", status: int = 200, **more: Any) -> Call:
    return asked(Ask.PAY, sale, order, at, status, **{"code": code, "payment_id": payment, "amount_minor": PRICE_MINOR, **more})


def returned(sale: str, order: str, at: float, status: int = 200) -> Call:
    shown = {"state": "returned", "code": "returned"} if status == 200 else {"code": "unconfirmed"}
    return asked(Ask.RETURN, sale, order, at, status, **shown)


def row(state: State = State.RESERVED, payment: str = "", user: str = "u", quantity: int = 1) -> OrderRow:
    return OrderRow(state, user, quantity, payment)


def facts(orders: dict[str, OrderRow], *lines: Line, **more: Any) -> Facts:
    return Facts(
        **{
            "orders": orders,
            "payments": {},
            "refunds": frozenset(),
            "incarnations": [FIRST],
            "totals": {"fast": 9, "sure": 9},
            "lines": lines,
            **more,
        }
    )


def verdict(calls: Sequence[Call], known: Facts, faults: Sequence[Fault] = (), gave_up: Sequence[Call] = ()) -> list[str]:
    """The broken promises with their details."""
    violations = judge_history(SALES, calls, gave_up, known, [Context(1, 0.0, 30.0, faults), Context(2, 30.0, 60.0, ())])
    return [f"{violation.promise}: {violation.detail}" for violation in violations]


class Entries:
    """Lines at rising positions of one sale, whose time is 1 s an entry."""

    def __init__(self, sale: str = "fast", total: int = 10, incarnation: int = 1) -> None:
        self.sale, self.incarnation, self.seq, self.lines = sale, incarnation, 0, list[Line]()
        counters = {"available": total, "reserved": 0, "sold": 0}
        terms = {"starts_ms": 0, "ends_ms": 0, "max_per_user": 0, "hold_seconds": 5, "rate_requests": 0, "rate_seconds": 1}
        more = {"owner": "admin", "generation": 1, "late_payment": "refund", "state": "open"}
        self._add(SaleDefined, total=total, **counters, **terms, **more)

    def reserved(self, *orders: str, quantity: int = 1) -> "Entries":
        lines = [ReservedLine(order, "u", quantity) for order in orders]
        return self._add(OrdersReserved, deadline=self._now + 1000 + HOLD_MS, orders=lines)

    def expired(self, order: str, deadline_ms: int = 0) -> "Entries":
        return self._add(OrdersExpired, orders=[OrderLine(order, "u", 1, deadline_ms)])

    def cancelled(self, order: str) -> "Entries":
        return self._add(OrdersCancelled, orders=[OrderLine(order, "u", 1, 0)])

    def settled(self, order: str, payment: str, result: str = "paid", reason: str = "") -> "Entries":
        line = PaymentLine(order, payment, result, reason, PRICE_MINOR, "EUR", "u", 1, 0)  # type: ignore[arg-type]
        return self._add(PaymentsRecorded, payments=[line])

    def lost(self, entries: int = 1) -> "Entries":
        self.seq += entries
        return self

    def next_incarnation(self) -> "Entries":
        self.incarnation, self.seq = self.incarnation + 1, self.seq + 1_000_000
        return self

    @property
    def _now(self) -> int:
        return 1000 * (self.seq % 1_000_000)

    def _add(self, kind: Any, **fields: Any) -> "Entries":
        self.seq += 1
        position = Position(3, self.incarnation, self.seq)
        self.lines.append(Line(position, 0, kind(v=1, sale=self.sale, epoch=1, at=self._now, seq=position, **fields)))
        return self
