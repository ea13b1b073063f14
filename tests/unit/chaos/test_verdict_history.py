"""The verdict on what was published: positions, the rules of orders, real time, and what was said to be sold out."""

from typing import Any

from flashsale_chaos.history import Ask, Call
from flashsale_chaos.verdict.facts import Line
from flashsale_chaos.verdict.violations import Promise
from flashsale_core.orders import State
from flashsale_core.positions import Range
from tests.unit.chaos.rounds import FIRST, SECOND, Entries, asked, facts, ordered, row, verdict


def replayed(entries: Entries, **more: Any) -> list[str]:
    """The verdict on lines alone: the orders are those that were asked for, and nobody looks at them."""
    return verdict([], facts({}, *entries.lines, **more))


def test_history_by_the_rules_breaks_nothing() -> None:
    entries = Entries(total=2).reserved("a", "b").settled("a", "p").cancelled("b").settled("b", "q", "refund_due", "cancelled")
    assert replayed(entries.reserved("c").expired("c").settled("c", "r", "refund_due", "late")) == []


def test_unit_is_released_once() -> None:
    assert "a at 1.4: expired twice" in replayed(Entries().reserved("a").expired("a").expired("a"))[0]
    assert "a at 1.4: expired after cancelled" in replayed(Entries().reserved("a").cancelled("a").expired("a"))[0]
    assert "a at 1.4: cancelled after paid" in replayed(Entries().reserved("a").settled("a", "p").cancelled("a"))[0]


def test_released_order_is_not_held_again() -> None:
    assert "reserved after expired" in replayed(Entries().reserved("a").expired("a").reserved("a"))[0]


def test_unknown_order_is_not_released() -> None:
    assert "expired after nothing" in replayed(Entries().expired("a"))[0]


def test_order_is_paid_once_and_not_after_its_release() -> None:
    assert "paid by q after p" in replayed(Entries().reserved("a").settled("a", "p").settled("a", "q"))[0]
    assert "paid after expired" in replayed(Entries().reserved("a").expired("a").settled("a", "p"))[0]
    assert replayed(Entries("sure").reserved("a").expired("a").settled("a", "p")) == []
    assert replayed(Entries().reserved("a").settled("a", "p").settled("a", "p")) == []


def test_refund_has_the_reason_of_its_order() -> None:
    assert "refunded as late, and the order was reserved" in replayed(Entries().reserved("a").settled("a", "p", "refund_due", "late"))[0]


def test_hold_does_not_expire_before_its_deadline() -> None:
    assert "expired 6000 ms before its deadline" in replayed(Entries().reserved("a").expired("a", deadline_ms=9_000))[0]
    assert replayed(Entries().reserved("a").expired("a", deadline_ms=2_000)) == []


def test_never_more_units_than_there_are_at_any_position() -> None:
    words = replayed(Entries(total=1).reserved("a").reserved("b").cancelled("b"))
    assert words == [f"{Promise.NOT_OVERSOLD}: fast at 1.3: 2 held and 0 sold of 1"]
    assert replayed(Entries(total=1).reserved("a").cancelled("a").reserved("b")) == []


def test_units_are_counted_again_after_a_loss() -> None:
    entries = Entries(total=1).reserved("a").lost().reserved("b").next_incarnation().expired("a")
    assert replayed(entries) == []
    assert "2 held and 0 sold of 1" in replayed(Entries(total=1).reserved("a").lost().reserved("b").next_incarnation().reserved("b"))[0]


def test_recovery_may_say_again_what_it_joined() -> None:
    assert replayed(Entries().reserved("a").expired("a").next_incarnation().reserved("a").expired("a")) == []
    assert "expired twice" in replayed(Entries().reserved("a").next_incarnation().expired("a").expired("a"))[0]


def test_entry_whose_predecessor_was_lost_may_concern_an_unknown_order() -> None:
    assert replayed(Entries().lost().reserved("a").lost().expired("b")) == []


def test_order_may_have_been_reserved_in_an_entry_that_was_lost_at_the_end_of_an_incarnation() -> None:
    # Redis went on in incarnation 2, and lost its disk before entry 3 was published: the rebuild announced `b` again.
    entries = Entries().reserved("a").lost().next_incarnation().reserved("c").cancelled("b").next_incarnation().reserved("b")
    assert replayed(entries, given={1: Range(1, 3), 2: Range(1_000_004, 1_000_005), 3: Range(2_000_006, 2_000_005)}) == []
    assert "cancelled after nothing" in replayed(entries, given={1: Range(1, 2)})[0]


def test_order_may_have_been_reserved_in_an_entry_that_was_lost_at_the_beginning_of_an_incarnation() -> None:
    entries = Entries().reserved("a").next_incarnation().lost().settled("b", "p").next_incarnation().reserved("b")
    assert replayed(entries, given={1: Range(1, 2), 2: Range(1_000_003, 1_000_004)}) == []
    assert "paid after nothing" in replayed(entries, given={1: Range(1, 2), 2: Range(1_000_004, 1_000_004)})[0]


def test_incarnation_of_which_nothing_arrived_is_missing() -> None:
    entries = Entries().next_incarnation().next_incarnation().lost().cancelled("b")
    assert replayed(entries, given={2: Range(1_000_002, 1_000_002)}) == []
    assert "cancelled after nothing" in replayed(entries, given={2: Range(1_000_002, 1_000_001)})[0]


def test_unit_whose_release_was_lost_at_the_end_of_an_incarnation_is_not_oversold() -> None:
    entries = Entries(total=1).reserved("a").lost().next_incarnation().reserved("b").next_incarnation().expired("a")
    assert replayed(entries, given={1: Range(1, 3)}) == []
    assert "2 held and 0 sold of 1" in replayed(entries, given={1: Range(1, 2)})[0]


def test_refund_may_be_of_an_order_whose_entries_were_lost() -> None:
    entries = Entries().reserved("a").lost().next_incarnation().settled("b", "p", "refund_due", "late")
    assert replayed(entries, given={1: Range(1, 3)}) == []
    assert "refunded as late, and the order was unknown" in replayed(entries, given={1: Range(1, 2)})[0]


def with_orders(entries: Entries, calls: list[Call], **more: Any) -> list[str]:
    orders = {f"{call.sale}.{call.order_id}": row() for call in calls if call.status == 200 and call.ask is Ask.ORDER}
    return verdict(calls, facts(orders, *entries.lines, **more))


def test_positions_follow_real_time() -> None:
    entries = Entries().reserved("a").reserved("b")
    assert with_orders(entries, [ordered("fast", "a", 10.0), ordered("fast", "b", 11.0)]) == []
    assert with_orders(entries, [ordered("fast", "b", 10.0), ordered("fast", "a", 10.05)]) == []
    (words,) = with_orders(entries, [ordered("fast", "b", 10.0), ordered("fast", "a", 11.0)])
    assert words == f"{Promise.HISTORY}: fast.b at 3 was accepted before fast.a at 2 was asked for"


def sold_out(entries: Entries, at: float, quantity: int = 1) -> list[str]:
    """The verdict on a refusal between the orders `a` (at 10 s) and `b` (at 12 s)."""
    refused = ordered("fast", "x", at, 409, code="out_of_stock", quantity=quantity)
    return with_orders(entries, [ordered("fast", "a", 10.0), refused, ordered("fast", "b", 12.0)])


def test_sold_out_is_true_at_its_time() -> None:
    full = Entries(total=2).reserved("a").reserved("c").cancelled("c").reserved("b")
    calls = [ordered("fast", "c", 11.0), asked(Ask.CANCEL, "fast", "c", 11.3, state="cancelled")]
    refused = ordered("fast", "x", 11.2, 409, code="out_of_stock")
    known = facts({"fast.a": row(), "fast.b": row(), "fast.c": row(State.CANCELLED)}, *full.lines)
    assert verdict([ordered("fast", "a", 10.0), *calls[:1], refused, *calls[1:], ordered("fast", "b", 12.0)], known) == []


def test_sold_out_while_there_are_units_is_untrue() -> None:
    (words,) = sold_out(Entries(total=3).reserved("a").reserved("b"), at=11.0)
    assert words == f"{Promise.SOLD_OUT}: fast.x: 1 units were refused while at least 2 were available"
    assert sold_out(Entries(total=3).reserved("a").reserved("b"), at=11.0, quantity=3) == []


def test_sold_out_that_cannot_be_placed_is_not_judged() -> None:
    entries = Entries(total=3).reserved("a").reserved("b")
    assert sold_out(entries, at=13.0) == []
    refused = ordered("fast", "x", 11.0, 409, code="out_of_stock")
    calls = [ordered("fast", "a", 10.0), refused, ordered("fast", "b", 12.0)]
    fenced_meanwhile = SECOND._replace(fenced=11.05, opened=11.5, lost_entries=1)
    assert with_orders(entries, calls, incarnations=[FIRST, fenced_meanwhile]) == []


def test_lines_of_other_sales_are_left_out() -> None:
    other = Entries("other").reserved("a").expired("a").expired("a").lines
    assert verdict([], facts({}, *[Line(line.position, line.place, line.message) for line in other])) == []
