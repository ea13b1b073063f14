"""plan turns messages into rows, whatever their order."""

from itertools import permutations
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale_core.entry_ranges import EntryRange
from flashsale_core.messages import (
    LedgerMarker,
    Message,
    OrderLine,
    OrdersCancelled,
    OrdersExpired,
    OrdersReserved,
    PaymentLine,
    PaymentResult,
    PaymentsRecorded,
    Position,
    ReservedLine,
    SaleDefined,
    SaleRetired,
)
from flashsale_core.orders import State
from flashsale_order_worker.plan import EventRow, OrderKey, OrderRow, PaymentKey, PaymentRow, Rows, plan

KEY = OrderKey("shoe", 7, "o1")
PAYMENT = PaymentKey("p1", "shoe", "o1")
RESERVED = OrdersReserved(v=1, sale="shoe", epoch=7, at=100, deadline=400, orders=[ReservedLine("o1", "ann", 2)])
EXPIRED = OrdersExpired(v=1, sale="shoe", epoch=7, at=401, orders=[OrderLine("o1", "ann", 2, 400)])
CANCELLED = OrdersCancelled(v=1, sale="shoe", epoch=7, at=200, orders=[OrderLine("o1", "ann", 2, 400)])


def paying(result: PaymentResult, at: int, reason: str = "") -> PaymentsRecorded:
    return PaymentsRecorded(v=1, sale="shoe", epoch=7, at=at, payments=[line(result, reason)])


def line(result: PaymentResult, reason: str = "") -> PaymentLine:
    return PaymentLine("o1", "p1", result, reason, 999, "EUR", "ann", 2, 400)


def defined(generation: int, at: int, total: int = 10) -> SaleDefined:
    return SaleDefined(
        v=1, sale="shoe", epoch=7, at=at, owner="admin", generation=generation, total=total, available=total, reserved=0, sold=0,
        starts_ms=0, ends_ms=0, max_per_user=0, hold_seconds=300, rate_requests=0, rate_seconds=1, late_payment="refund", state="open",
    )  # fmt: skip


def retired(state: str, at: int) -> SaleRetired:
    return SaleRetired(v=1, sale="shoe", epoch=7, at=at, state="removed" if state == "removed" else "closed",
                       total=10, available=8, reserved=0, sold=2)  # fmt: skip


def rows_of(*messages: Message) -> Rows:
    return plan((f"m{message.at}", message) for message in messages)


def test_no_messages_give_no_rows() -> None:
    assert plan([]) == Rows()


def test_reservation_gives_an_order_and_its_first_event() -> None:
    assert rows_of(RESERVED) == Rows(
        orders={KEY: OrderRow(State.RESERVED, "ann", 2, 400, 100, reserved_at_ms=100)},
        events={(KEY, State.RESERVED): EventRow(100, "m100")},
    )


@pytest.mark.parametrize("messages", list(permutations([RESERVED, EXPIRED, paying("paid", 500)])))
def test_order_that_expires_and_is_paid_late_is_one_row(messages: tuple[Message, ...]) -> None:
    assert rows_of(*messages) == Rows(
        orders={KEY: OrderRow(State.PAID, "ann", 2, 400, 500, reserved_at_ms=100, payment_id="p1")},
        events={
            (KEY, State.RESERVED): EventRow(100, "m100"),
            (KEY, State.EXPIRED): EventRow(401, "m401"),
            (KEY, State.PAID): EventRow(500, "m500"),
        },
        payments={PAYMENT: PaymentRow(7, line("paid"), 500)},
    )


@pytest.mark.parametrize("messages", list(permutations([RESERVED, CANCELLED])))
def test_cancelled_order_stays_cancelled(messages: tuple[Message, ...]) -> None:
    assert rows_of(*messages).orders == {KEY: OrderRow(State.CANCELLED, "ann", 2, 400, 200, reserved_at_ms=100)}


def test_repeated_message_changes_nothing() -> None:
    assert rows_of(RESERVED, EXPIRED, RESERVED, EXPIRED) == rows_of(RESERVED, EXPIRED)


def test_expired_order_without_deadline_takes_it_from_its_reservation() -> None:
    bare = OrdersExpired(v=1, sale="shoe", epoch=7, at=401, orders=[OrderLine("o1", "ann", 2)])
    assert rows_of(bare, RESERVED).orders == rows_of(RESERVED, bare).orders == rows_of(RESERVED, EXPIRED).orders


def test_same_order_id_in_two_epochs_of_a_sale_gives_two_orders() -> None:
    again = OrdersReserved(v=1, sale="shoe", epoch=8, at=900, deadline=950, orders=[ReservedLine("o1", "ann", 1)])
    assert set(rows_of(RESERVED, again).orders) == {KEY, OrderKey("shoe", 8, "o1")}


@pytest.mark.parametrize("messages", list(permutations([paying("failed", 300), paying("failed", 310), paying("paid", 320)])))
def test_payment_that_fails_and_then_succeeds_has_succeeded(messages: tuple[Message, ...]) -> None:
    assert rows_of(*messages).payments == {PAYMENT: PaymentRow(7, line("paid"), 320)}


@pytest.mark.parametrize("messages", list(permutations([paying("failed", 300), paying("failed", 310)])))
def test_first_of_two_failures_is_kept(messages: tuple[Message, ...]) -> None:
    assert rows_of(*messages) == Rows(payments={PAYMENT: PaymentRow(7, line("failed"), 300)})


def test_payment_for_an_unknown_order_gives_a_refund_but_no_order() -> None:
    unknown = PaymentLine("no-such-order", "p1", "refund_due", "unknown_order", 999, "EUR", "", 0, 0)
    row = PaymentRow(0, unknown, 300)
    key = PaymentKey("p1", "", "no-such-order")
    assert rows_of(PaymentsRecorded(v=1, sale="", epoch=0, at=300, payments=[unknown])) == Rows(payments={key: row}, refunds={key: row})


@pytest.mark.parametrize("messages", list(permutations([paying("refund_due", 300, "unknown_order"), paying("paid", 310)])))
def test_refund_that_is_due_is_never_merged_away(messages: tuple[Message, ...]) -> None:
    rows = rows_of(*messages)
    assert rows.refunds == {PAYMENT: PaymentRow(7, line("refund_due", "unknown_order"), 300)}
    assert rows.payments == {PAYMENT: PaymentRow(7, line("paid"), 310)}


@pytest.mark.parametrize("restored_at", [200, 400])
@pytest.mark.parametrize("restored_first", [True, False])
def test_amount_replaces_what_a_rebuild_restored_without_one(*, restored_at: int, restored_first: bool) -> None:
    restored, real = paying("refund_due", restored_at, "restored"), paying("refund_due", 300, "late")
    rows = rows_of(*((restored, real) if restored_first else (real, restored)))
    assert rows.payments == rows.refunds == {PAYMENT: PaymentRow(7, line("refund_due", "late"), 300)}


@pytest.mark.parametrize("messages", list(permutations([defined(1, 10), defined(2, 20, 30), defined(2, 25, 40)])))
def test_latest_definition_of_the_newest_generation_is_kept(messages: tuple[Message, ...]) -> None:
    assert rows_of(*messages) == Rows(sales={("shoe", 7): defined(2, 25, 40)})


@pytest.mark.parametrize("messages", list(permutations([retired("closed", 50), retired("removed", 60)])))
def test_removed_sale_stays_removed(messages: tuple[Message, ...]) -> None:
    assert rows_of(*messages) == Rows(retired={("shoe", 7): retired("removed", 60)})


def at_position(message: Any, *position: int) -> Message:
    return msgspec.structs.replace(message, seq=Position(*position))  # type: ignore[no-any-return]


def test_positions_of_a_batch_become_ranges_by_shard_and_incarnation() -> None:
    places = [(0, 1, 7), (0, 1, 5), (0, 1, 6), (0, 2, 8), (1, 1, 1), (0, 1, 9)]
    assert rows_of(*(at_position(RESERVED, *place) for place in places)).received == [
        EntryRange(0, 1, 5, 7),
        EntryRange(0, 1, 9, 9),
        EntryRange(0, 2, 8, 8),
        EntryRange(1, 1, 1, 1),
    ]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 2), st.integers(1, 12))))
def test_received_ranges_hold_every_position_once(places: list[tuple[int, int, int]]) -> None:
    received = rows_of(*(at_position(EXPIRED, *place) for place in places)).received
    held = [(row.shard, row.incarnation, seq) for row in received for seq in range(row.from_seq, row.to_seq + 1)]
    assert (sorted(set(held)), len(set(held))) == (sorted(set(places)), len(held))


def test_lines_of_one_entry_are_one_position() -> None:
    lines = (at_position(EXPIRED, 3, 1, 4), at_position(CANCELLED, 3, 1, 4))
    assert rows_of(*lines).received == [EntryRange(3, 1, 4, 4)]


def test_message_without_position_adds_no_range() -> None:
    assert rows_of(RESERVED, EXPIRED).received == []


def test_incomplete_entry_is_a_hole() -> None:
    messages = [("m", at_position(RESERVED, 0, 1, seq)) for seq in (4, 5, 6)]
    assert plan(messages, {Position(0, 1, 5)}).received == [EntryRange(0, 1, 4, 4), EntryRange(0, 1, 6, 6)]


def test_marker_gives_a_row_of_its_own() -> None:
    assert rows_of(LedgerMarker(v=1, marker="0b5f1f0a-1f3f-4c1c-9d52-0b0f6a6f7a11", at=5)) == Rows(
        markers={"0b5f1f0a-1f3f-4c1c-9d52-0b0f6a6f7a11": 5}
    )
