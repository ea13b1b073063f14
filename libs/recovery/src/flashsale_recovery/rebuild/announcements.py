"""The messages with which the ledger gets what only Redis had, and the holds that were broken. Pure.

A message that the ledger has already changes nothing there, so all of them may be sent again. lua/restore.lua adds their positions.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from flashsale_core.messages import RESTORED, VERSION
from flashsale_core.orders import KEPT, State
from flashsale_core.topology import PAYMENTS_ROUTING_KEY, reserved_routing_key
from flashsale_recovery.rebuild.facts import Definition
from flashsale_recovery.rebuild.join import Joined


class Line(NamedTuple):
    """A message with its routing key."""

    routing_key: str
    body: str


class Counters(NamedTuple):
    total: int
    available: int
    reserved: int
    sold: int


def definition_line(definition: Definition, counters: Counters) -> Line:
    names = (
        "owner", "generation", "base", "state", "starts_ms", "ends_ms", "max_per_user", "hold_seconds", "rate_requests", "rate_seconds",
        "max_released", "late_payment", "durability", "price",
    )  # fmt: skip
    fields = {name: getattr(definition, name) for name in names}
    if fields["state"] in ("closed", "removed"):
        # The end of a sale is a message of its own.
        fields["state"] = "open"
    if definition.requests:
        fields["requests"] = definition.requests
    return _line("sale.defined", definition, definition.changed_ms, {**counters._asdict(), "total": definition.total, **fields})


def end_line(definition: Definition, counters: Counters, now_ms: int) -> Line:
    at_ms = definition.removed_ms if definition.is_removed else definition.closed_ms
    return _line("sale.retired", definition, at_ms or now_ms, {"state": definition.state, **counters._asdict()})


def order_lines(definition: Definition, orders: Iterable[Joined], released_ms: Mapping[str, int], now_ms: int) -> list[Line]:
    """One message for the orders that can share one. `released_ms` has the times of the holds that were broken, by order."""
    reserved: dict[tuple[int, int], list[Any]] = {}
    released: dict[tuple[State, int], list[Any]] = {}
    payments: list[Any] = []
    returned: list[Any] = []
    for order in orders:
        _sort_in(order, reserved_at(order, definition, now_ms), released_ms, reserved, released, payments, returned, now_ms)
    key = reserved_routing_key(definition.hold_seconds)
    lines = [_line("order.reserved", definition, at, {"deadline": due, "orders": rows}, key) for (at, due), rows in reserved.items()]
    lines += [_line(f"order.{state}", definition, at, {"orders": rows}) for (state, at), rows in released.items()]
    lines += [_line(PAYMENTS_ROUTING_KEY, definition, now_ms, {"payments": payments})] if payments else []
    # Also with the routing key of payments (lua/return_order.lua).
    return lines + ([_line("order.returned", definition, now_ms, {"orders": returned}, PAYMENTS_ROUTING_KEY)] if returned else [])


def reserved_at(order: Joined, definition: Definition, now_ms: int) -> int:
    """When an order was reserved. If only Redis has it, its deadline tells: a hold lasts as long as the sale's payment window."""
    if order.reserved_ms is not None:
        return order.reserved_ms
    return min(now_ms, max(0, order.record.deadline_ms - definition.hold_seconds * 1000))


def _sort_in(
    order: Joined,
    reserved_ms: int,
    released_ms: Mapping[str, int],
    reserved: dict[tuple[int, int], list[Any]],
    released: dict[tuple[State, int], list[Any]],
    payments: list[Any],
    returned: list[Any],
    now_ms: int,
) -> None:
    record = order.record
    for state in order.lacking:
        if state is State.RESERVED:
            row = [order.order_id, record.user_id, record.quantity, *([record.traceparent] if record.traceparent else [])]
            reserved.setdefault((reserved_ms, record.deadline_ms), []).append(row)
        elif state is State.PAID:
            payments.append(_payment(order, record.payment_id, "paid"))
        elif state is State.RETURNED:
            returned.append(_returned(order))
        else:
            # The earliest time that it can have been: a later one could let the history have more units than the sale.
            earliest_ms = min(now_ms, record.deadline_ms) if state is State.EXPIRED else reserved_ms
            row = [
                order.order_id,
                record.user_id,
                record.quantity,
                record.deadline_ms,
                *([record.traceparent] if record.traceparent else []),
            ]
            released.setdefault((state, released_ms.get(order.order_id, earliest_ms)), []).append(row)
    payments += [_payment(order, payment_id, "refund_due") for payment_id in order.refunds_lacking]


def _payment(order: Joined, payment_id: str, result: str) -> list[Any]:
    record = order.record
    return [order.order_id, payment_id, result, RESTORED, 0, "", record.user_id, record.quantity, record.deadline_ms, record.traceparent]


def _returned(order: Joined) -> list[Any]:
    record = order.record
    return [
        order.order_id, record.user_id, record.quantity, record.deadline_ms, record.payment_id,
        record.return_letter != KEPT, record.traceparent,
    ]  # fmt: skip


def _line(message_type: str, definition: Definition, at_ms: int, fields: Mapping[str, Any], routing_key: str = "") -> Line:
    head = {"v": VERSION, "type": message_type, "sale": definition.sale_id, "epoch": definition.epoch, "at": at_ms}
    return Line(routing_key or message_type, msgspec.json.encode({**head, **fields}).decode())
