"""The join of an order: whatever ledger and Redis know of one history, together they lead to its last state."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale_core.orders import RANK, State
from flashsale_core.records import OrderRecord
from flashsale_recovery.rebuild.facts import LedgerOrder, Refund
from flashsale_recovery.rebuild.join import RELEASED, Joined, join_order, without_hold

R, P, X, C = State.RESERVED, State.PAID, State.EXPIRED, State.CANCELLED
HISTORIES = [(R,), (R, P), (R, X), (R, C), (R, X, P)]


def in_ledger(states: frozenset[State], refunds: tuple[Refund, ...] = ()) -> LedgerOrder | None:
    """The row after the messages of these states, in any order."""
    if not states:
        return None
    state = max(states, key=RANK.__getitem__)
    paid_by = "p1" if state is P else ""
    return LedgerOrder("o1", state, "ann", 2, 9_000, 1_000 if R in states else None, paid_by, bool(states & RELEASED))


def in_redis(states: tuple[State, ...]) -> OrderRecord | None:
    """The record after the first states of a history."""
    if not states:
        return None
    return OrderRecord(states[-1], "ann", 2, 9_000, "", "p1" if states[-1] is P else "")


@given(st.data())
def test_any_split_of_a_history_joins_to_its_end(data: st.DataObject) -> None:
    history = data.draw(st.sampled_from(HISTORIES))
    redis = history[: data.draw(st.integers(0, len(history)))]
    unknown = set(history) - set(redis)
    ledger = frozenset(unknown | data.draw(st.sets(st.sampled_from(history))))
    joined = join_order(in_ledger(ledger), in_redis(redis), "o1")
    assert joined.record == in_redis(history)
    assert joined.was_released == bool(set(history) & RELEASED) or (X not in ledger and redis[-1:] == (P,))
    # What lacks reaches the ledger, and then nothing does.
    complete = in_ledger(ledger | set(joined.lacking))
    assert join_order(complete, in_redis(redis), "o1").lacking == ()
    assert complete is not None
    assert complete.state is history[-1]


@given(st.sampled_from(HISTORIES), st.data())
def test_joining_twice_changes_nothing(history: tuple[State, ...], data: st.DataObject) -> None:
    ledger = in_ledger(frozenset(data.draw(st.sets(st.sampled_from(history), min_size=1))))
    redis = in_redis(history[: data.draw(st.integers(0, len(history)))])
    refunds = data.draw(st.lists(st.builds(Refund, st.sampled_from(["p2", "p3"]), st.sampled_from(["duplicate", "late"])), max_size=2))
    first = join_order(ledger, redis, "o1", refunds)
    again = join_order(ledger, first.record, "o1", refunds)
    assert again.record == first.record
    # A paid record does not show that it was released before; the ledger does, once it has what it lacked.
    assert again.was_released == first.was_released or first.record.state is P


def test_order_that_only_the_ledger_has_is_restored_from_its_row() -> None:
    row = LedgerOrder("o1", P, "ann", 2, 9_000, 1_000, "p1", was_released=True)
    assert join_order(row, None, "o1") == Joined("o1", OrderRecord(P, "ann", 2, 9_000, "", "p1"), True, 1_000)


def test_later_deadline_and_trace_of_redis_are_kept() -> None:
    redis = OrderRecord(R, "ann", 2, 12_000, "00-a-b-01")
    assert join_order(in_ledger(frozenset({R})), redis, "o1").record == redis


def test_state_of_equal_rank_is_the_ledgers() -> None:
    joined = join_order(in_ledger(frozenset({R, C})), in_redis((R, X)), "o1")
    assert (joined.record.state, joined.lacking) == (C, ())


@pytest.mark.parametrize(("reason", "state"), [("late", X), ("sold_out", X), ("cancelled", C), ("duplicate", R), ("unknown_order", R)])
def test_refund_proves_the_state_whose_own_event_was_lost(reason: str, state: State) -> None:
    joined = join_order(in_ledger(frozenset({R})), None, "o1", [Refund("p2", reason)])
    assert (joined.record.state, joined.lacking) == (state, () if state is R else (state,))


def test_refunded_payments_of_both_are_kept_without_strays_and_the_one_that_paid() -> None:
    row = LedgerOrder("o1", P, "ann", 2, 9_000, 1_000, "p1")
    redis = OrderRecord(P, "ann", 2, 9_000, "", "p1", ("p3", "p4"))
    refunds = [Refund("p2", "duplicate"), Refund("p3", "duplicate"), Refund("p0", "unknown_order"), Refund("p1", "unknown_order")]
    joined = join_order(row, redis, "o1", refunds)
    assert joined.record.refunded_payment_ids == ("p2", "p3", "p4")
    assert joined.refunds_lacking == ("p4",)


def test_another_payment_in_redis_is_shown() -> None:
    row = LedgerOrder("o1", P, "ann", 2, 9_000, 1_000, "p1")
    joined = join_order(row, OrderRecord(P, "ann", 2, 9_000, "", "p2"), "o1")
    assert (joined.record.payment_id, joined.other_payment) == ("p1", "p2")


def test_hold_of_a_sale_that_is_over_has_expired_and_keeps_its_refunds() -> None:
    redis = OrderRecord(R, "ann", 2, 9_000, "", "", ("p1",))
    over = without_hold(join_order(in_ledger(frozenset({R})), redis, "o1"))
    assert (over.record.state, over.was_released, over.lacking, over.refunds_lacking) == (X, True, (X,), ("p1",))
    paid = join_order(in_ledger(frozenset({R, P})), None, "o1")
    assert without_hold(paid) is paid
