"""What a rebuild sends to the ledger again: messages that today's workers read."""

from typing import Any

from flashsale_core.messages import (
    Message,
    OrderLine,
    OrdersCancelled,
    OrdersExpired,
    OrdersReserved,
    PaymentLine,
    PaymentsRecorded,
    ReservedLine,
    SaleDefined,
    SaleRetired,
    decode,
)
from flashsale_core.orders import State
from flashsale_core.records import OrderRecord
from flashsale_recovery.rebuild.announcements import Counters, Line, definition_line, end_line, order_lines
from flashsale_recovery.rebuild.facts import Definition
from flashsale_recovery.rebuild.join import Joined

NOW_MS = 90_000
SALE = Definition("iphone", 1_000, "shop", 3, 2_000, total=10, hold_seconds=60, state="closed", closed_ms=80_000)
R, P, X, C = State.RESERVED, State.PAID, State.EXPIRED, State.CANCELLED


def order(name: str, state: State, *lacking: State, payment: str = "", refunds: tuple[str, ...] = (), trace: str = "") -> Joined:
    return Joined(name, OrderRecord(state, "ann", 2, 70_000, trace, payment), False, None, lacking, refunds)


def read(lines: list[Line]) -> list[tuple[str, Message]]:
    return [(line.routing_key, decode(line.body.encode())) for line in lines]


def test_definition_and_end_of_a_sale_are_two_messages() -> None:
    counters = Counters(10, 4, 0, 6)
    (key, defined), (end_key, ended) = read([definition_line(SALE, counters), end_line(SALE, counters, NOW_MS)])
    assert (key, end_key) == ("sale.defined", "sale.retired")
    assert isinstance(defined, SaleDefined)
    assert (defined.epoch, defined.at, defined.owner, defined.generation, defined.state, defined.sold) == (
        1_000,
        2_000,
        "shop",
        3,
        "open",
        6,
    )
    assert ended == SaleRetired(v=1, sale="iphone", epoch=1_000, at=80_000, state="closed", total=10, available=4, reserved=0, sold=6)


def test_orders_of_one_moment_share_a_message() -> None:
    lines = order_lines(SALE, [order("o1", R, R), order("o2", R, R, trace="00-a")], {}, NOW_MS)
    reserved = [ReservedLine("o1", "ann", 2), ReservedLine("o2", "ann", 2, "00-a")]
    message = OrdersReserved(v=1, sale="iphone", epoch=1_000, at=10_000, deadline=70_000, orders=reserved)
    assert read(lines) == [("order.reserved.60", message)]


def test_releases_have_the_earliest_time_that_is_possible() -> None:
    orders = [order("o1", X, R, X), order("o2", C, C), order("o3", X, X)]
    lines = order_lines(SALE, orders, {"o3": 5_000}, NOW_MS)
    head: Any = {"v": 1, "sale": "iphone", "epoch": 1_000}
    assert [message for _, message in read(lines)[1:]] == [
        OrdersExpired(**head, at=70_000, orders=[OrderLine("o1", "ann", 2, 70_000)]),
        OrdersCancelled(**head, at=10_000, orders=[OrderLine("o2", "ann", 2, 70_000)]),
        OrdersExpired(**head, at=5_000, orders=[OrderLine("o3", "ann", 2, 70_000)]),
    ]


def test_payments_that_only_redis_knew_have_no_amount_and_say_so() -> None:
    ((key, message),) = read(order_lines(SALE, [order("o1", P, P, payment="p1", refunds=("p2",))], {}, NOW_MS))
    rest: Any = ("restored", 0, "", "ann", 2, 70_000)
    lines = [PaymentLine("o1", "p1", "paid", *rest), PaymentLine("o1", "p2", "refund_due", *rest)]
    assert (key, message) == ("payment.recorded", PaymentsRecorded(v=1, sale="iphone", epoch=1_000, at=NOW_MS, payments=lines))
