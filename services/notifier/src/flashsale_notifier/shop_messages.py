"""Turns messages into the events that shops receive. Pure.

An event's body is made once and stored: a signature covers its bytes, and a repetition must be the same.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from flashsale_core.ids import order_name
from flashsale_core.messages import (
    RESTORED,
    Message,
    OrderLine,
    OrdersCancelled,
    OrdersExpired,
    OrdersReserved,
    OrdersReturned,
    PaymentLine,
    PaymentsRecorded,
    ReservedLine,
    ReturnedLine,
    SaleDefined,
    SaleRetired,
)
from flashsale_core.orders import RANK, State
from flashsale_core.shop_events import EventType, event_id
from flashsale_core.timestamps import rfc3339_of_ms

ENDED = "ended"
UNKNOWN_ORDER = "unknown_order"
"""The reason of a refund that the ledger may not write, because the payment has paid its order: `unknown_orders.py` looks there."""


class ShopEvent(NamedTuple):
    id: str
    type: EventType
    sale_id: str
    at_ms: int
    body: str
    """JSON: type, timestamp and data, as Standard Webhooks describes it."""


Data = Mapping[str, Any]
Line = OrderLine | ReservedLine | PaymentLine | ReturnedLine


def events_of(messages: Iterable[Message], *, with_reserved: bool) -> list[ShopEvent]:
    """The events of the messages, each once, sorted by id: two notifiers that write the same ones then never deadlock.

    Raises ValueError or OverflowError for a time that is out of range.
    """
    events: dict[str, ShopEvent] = {}
    for message in messages:
        for event in _events(message):
            if with_reserved or event.type is not EventType.ORDER_RESERVED:
                events.setdefault(event.id, event)
    return [events[key] for key in sorted(events)]


def sale_ended(sale_id: str, epoch: int, at_ms: int, data: Data) -> ShopEvent:
    """The end of a sale, by its time or by its owner. There is one for each sale, whatever ended it first."""
    return _event(EventType.SALE_ENDED, event_id(sale_id, epoch, "", ENDED), sale_id, at_ms, {"productId": sale_id, **data})


def refund_due(sale_id: str, epoch: int, order_id: str, payment_id: str, at_ms: int, data: Data) -> ShopEvent:
    """Money that has to be sent back. `data` is why and how much."""
    named = {"orderId": order_name(sale_id, order_id), "productId": sale_id, "paymentId": payment_id}
    return _event(EventType.REFUND_DUE, event_id(sale_id, epoch, order_id, f"refund_due:{payment_id}"), sale_id, at_ms, {**named, **data})


def _events(message: Message) -> Iterator[ShopEvent]:
    match message:
        case OrdersReserved():
            expires_at = rfc3339_of_ms(message.deadline)
            for line in message.orders:
                yield _order(message, EventType.ORDER_RESERVED, State.RESERVED, line, {"expiresAt": expires_at})
        case OrdersExpired():
            for released in message.orders:
                yield _order(message, EventType.ORDER_EXPIRED, State.EXPIRED, released)
        case OrdersCancelled():
            for released in message.orders:
                yield _order(message, EventType.ORDER_CANCELLED, State.CANCELLED, released)
        case OrdersReturned():
            for back in message.orders:
                yield from _returned(message, back)
        case PaymentsRecorded():
            for payment in message.payments:
                yield from _payment(message, payment)
            if message.sold_out:
                yield _sold_out(message.sale, message.epoch, message.at, message.sold_out, message.restocked)
        case SaleDefined():
            # The owner took the units away that were left.
            if message.sold and not message.available and not message.reserved:
                yield _sold_out(message.sale, message.epoch, message.at, message.sold, message.restocked)
        case SaleRetired():
            yield sale_ended(message.sale, message.epoch, message.at, _counts(message))
        case _:
            return


def _counts(message: SaleRetired) -> Data:
    return {"stock": message.total, "available": message.available, "reserved": message.reserved, "sold": message.sold}


def _payment(message: PaymentsRecorded, line: PaymentLine) -> Iterator[ShopEvent]:
    # A rebuild does not know the amount of what it restored.
    amount = {"amountMinor": None if line.reason == RESTORED else line.amount_minor, "currency": line.currency}
    if line.result == "paid":
        yield _order(message, EventType.ORDER_PAID, State.PAID, line, {"paymentId": line.payment_id, **amount})
    elif line.result == "refund_due" and line.reason != UNKNOWN_ORDER:
        data = {"reason": line.reason, **amount}
        yield refund_due(message.sale, message.epoch, line.order_id, line.payment_id, message.at, data)


def _returned(message: OrdersReturned, line: ReturnedLine) -> Iterator[ShopEvent]:
    """The return and its refund, whose amount is that of the payment: only the ledger has it."""
    yield _order(message, EventType.ORDER_RETURNED, State.RETURNED, line, {"paymentId": line.payment_id, "restocked": line.is_restocked})
    data = {"reason": "returned", "amountMinor": None, "currency": ""}
    yield refund_due(message.sale, message.epoch, line.order_id, line.payment_id, message.at, data)


def _sold_out(sale_id: str, epoch: int, at_ms: int, sold: int, restocked: int) -> ShopEvent:
    """With its numbers of units: after the stock is raised, or returned units are for sale again, a sale may sell out again."""
    # Without a return, the id is that of earlier releases: a redelivery during an upgrade adds nothing.
    key = event_id(sale_id, epoch, "", f"sold_out:{sold}:{restocked}" if restocked else f"sold_out:{sold}")
    return _event(EventType.SALE_SOLD_OUT, key, sale_id, at_ms, {"productId": sale_id, "sold": sold})


def _order(message: Any, kind: EventType, state: State, line: Line, more: Data | None = None) -> ShopEvent:
    key = event_id(message.sale, message.epoch, line.order_id, state)
    data = {
        "orderId": order_name(message.sale, line.order_id), "productId": message.sale, "userId": line.user_id, "quantity": line.quantity,
        "state": state, "rank": RANK[state], **(more or {}),
    }  # fmt: skip
    return _event(kind, key, message.sale, message.at, data)


def _event(kind: EventType, key: str, sale_id: str, at_ms: int, data: Data) -> ShopEvent:
    body = msgspec.json.encode({"type": kind, "timestamp": rfc3339_of_ms(at_ms), "data": data})
    return ShopEvent(key, kind, sale_id, at_ms, body.decode())
