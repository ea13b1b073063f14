"""Orders of sales with the durability `confirmed`: whose confirm they wait for, and what a caller that cannot wait gets."""

from typing import Any

import pytest

from flashsale_core.messages import OrdersReserved, ReservedLine
from flashsale_core.records import stale_terms
from tests.lua.servers import Sale, reserve_many, settle_many, unplaced

HOLD_MS = 300_000
KEY = "order.reserved.300"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def confirmed(sale: Sale) -> Sale:
    sale.define(total=10, durability="confirmed")
    sale.confirm_definition()
    return sale


def statuses(results: list[list[Any]]) -> list[str]:
    return [result[0] for result in results]


def last_messages(sale: Sale) -> list[Any]:
    """The messages of the newest entry."""
    return [unplaced(line) for line in sale.outbox()[-1][1].split(b"\n")]


def reserved(sale: Sale, at: int, *lines: ReservedLine) -> OrdersReserved:
    """A message of orders that were accepted `at` this time."""
    return OrdersReserved(v=1, sale=sale.name, epoch=1_000_000_000_000, at=at, deadline=at + HOLD_MS, orders=list(lines))


def test_accepted_order_names_the_entry_whose_confirm_it_waits_for(confirmed: Sale) -> None:
    assert confirmed.reserve_confirmed(("o1", "ann", 2)) == [["accepted", "R", confirmed.now + HOLD_MS, 0, KEY]]
    assert (confirmed.outbox()[-1][0], confirmed.stock()) == (KEY, (10, 8, 2, 0))


@pytest.mark.parametrize("more", [[], [("new", "cid", 1)]], ids=["alone", "with a new order"])
def test_replayed_order_is_noted_again_as_it_was(confirmed: Sale, more: list[Any]) -> None:
    accepted_at = confirmed.now
    confirmed.reserve_confirmed(("o1", "ann", 2, TRACE))
    confirmed.now += 1_000
    before = (confirmed.deadlines(), confirmed.records()["o1"], len(confirmed.outbox()))
    first, *_ = confirmed.reserve_confirmed(("o1", "ann", 2), *more)
    assert first == ["replayed", "R", accepted_at + HOLD_MS, 0, KEY]
    again = reserved(confirmed, accepted_at, ReservedLine("o1", "ann", 2, TRACE))
    new = reserved(confirmed, confirmed.now, ReservedLine("new", "cid", 1))
    assert last_messages(confirmed) == ([again, new] if more else [again])
    deadlines = {order: at for order, at in confirmed.deadlines().items() if order != "new"}
    assert (deadlines, confirmed.records()["o1"], len(confirmed.outbox()) - 1) == before


def test_order_that_is_found_by_its_other_id_is_noted_again_and_waits(confirmed: Sale) -> None:
    accepted_at = confirmed.now
    confirmed.reserve_confirmed(("old", "ann", 2))
    assert confirmed.reserve(("new", "ann", 2, "", "old")) == [["broker_away"]]
    answer = confirmed.reserve_confirmed(("new", "ann", 2, "", "old"))
    assert answer == [["replayed", "R", accepted_at + HOLD_MS, 0, KEY, "old"]]
    assert last_messages(confirmed) == [reserved(confirmed, accepted_at, ReservedLine("old", "ann", 2))]


def test_replay_in_the_same_call_waits_for_the_same_entry(confirmed: Sale) -> None:
    first, second, third = confirmed.reserve_confirmed(("o1", "ann", 1), ("o1", "ann", 1), ("o1", "ann", 2))
    assert (first[1:], second, third) == (second[1:], ["replayed", *first[1:]], ["conflict"])
    assert last_messages(confirmed) == [reserved(confirmed, confirmed.now, ReservedLine("o1", "ann", 1))]


def test_replay_of_a_paid_order_waits_and_of_a_released_one_does_not(confirmed: Sale) -> None:
    confirmed.reserve_confirmed(("paid", "ann", 1), ("cancelled", "bob", 1))
    confirmed.settle(("paid", "p1"))
    confirmed.cancel("cancelled")
    deadline = confirmed.now + HOLD_MS
    answers = confirmed.reserve_confirmed(("paid", "ann", 1), ("cancelled", "bob", 1))
    assert answers == [["replayed", "P", deadline, 0, KEY], ["gone", "C", deadline]]
    assert last_messages(confirmed) == [reserved(confirmed, confirmed.now, ReservedLine("paid", "ann", 1))]


def test_replay_after_the_payment_window_was_changed_has_its_own_deadline(confirmed: Sale) -> None:
    accepted_at = confirmed.now
    confirmed.reserve_confirmed(("o1", "ann", 1))
    for hold_seconds, at in ((60, accepted_at), (900, accepted_at - 600_000)):
        confirmed.define(hold_seconds=hold_seconds)
        assert confirmed.reserve_confirmed(("o1", "ann", 1)) == [
            ["replayed", "R", accepted_at + HOLD_MS, 0, f"order.reserved.{hold_seconds}"]
        ]
        (message,) = last_messages(confirmed)
        assert (message.deadline, message.at) == (accepted_at + HOLD_MS, at)


def test_caller_that_cannot_wait_is_refused_and_nothing_is_written(confirmed: Sale) -> None:
    confirmed.define(max_per_user=3, rate_requests=5)
    confirmed.reserve_confirmed(("o1", "ann", 2))
    before = confirmed.snapshot()
    for orders in ([("o1", "ann", 2), ("o2", "bob", 1), ("o1", "ann", 1)], [("o1", "ann", 2)], [("o2", "bob", 1)]):
        expected = {"o1": "broker_away", "o2": "broker_away"}
        assert statuses(confirmed.reserve(*orders)) == ["conflict" if order == ("o1", "ann", 1) else expected[order[0]] for order in orders]
    assert confirmed.snapshot() == before


def test_single_order_without_limits_is_refused_for_a_caller_that_cannot_wait(confirmed: Sale) -> None:
    before = confirmed.snapshot()
    assert (confirmed.reserve(("o1", "ann", 1)), confirmed.snapshot()) == ([["broker_away"]], before)


def test_sold_out_and_closed_sales_give_their_answer_without_a_broker(confirmed: Sale) -> None:
    confirmed.reserve_confirmed(("o1", "ann", 10))
    assert statuses(confirmed.reserve(("o2", "bob", 1))) == ["out_of_stock"]
    confirmed.cancel("o1")
    assert statuses(confirmed.reserve(("o1", "ann", 10), ("o2", "bob", 1))) == ["gone", "broker_away"]
    confirmed.define(state="paused")
    assert statuses(confirmed.reserve(("o2", "bob", 1))) == ["paused"]


def test_late_payment_buys_no_unit_that_only_redis_knows(confirmed: Sale) -> None:
    confirmed.define(total=1, late_payment="reacquire")
    confirmed.confirm_definition()
    confirmed.reserve_confirmed(("late", "ann", 1))
    confirmed.now += HOLD_MS
    confirmed.expire("late")
    confirmed.reserve_confirmed(("o2", "bob", 1))
    confirmed.define(total=2)
    before = confirmed.snapshot()
    (undecided,), entries = settle_many((confirmed, [("late", "p1")]), confirms=True)
    assert ("has not confirmed the definition" in undecided, entries, confirmed.snapshot()) == (True, [], before)
    confirmed.confirm_definition()
    assert confirmed.settle_confirmed(("late", "p1")) == [["paid", "P", ""]]


def test_sales_of_one_call_differ_in_what_they_wait_for(confirmed: Sale) -> None:
    fsync = Sale(confirmed.redis, "hat")
    fsync.define(total=10)
    orders = [("o1", "ann", 1)]
    (first, second), entries = reserve_many((confirmed, orders), (fsync, orders), confirms=True)
    deadline = confirmed.now + HOLD_MS
    assert (first, second) == ([["accepted", "R", deadline, 0, KEY]], [["accepted", "R", deadline]])
    assert len(entries) == 1
    (first, second), entries = reserve_many((confirmed, orders), (fsync, [*orders, ("o2", "bob", 1)]))
    assert (statuses(first), statuses(second)) == (["broker_away"], ["replayed", "accepted"])
    assert [unplaced(body).sale for _, _, body in entries] == ["hat"]  # type: ignore[union-attr]


def test_durability_may_change_while_the_sale_sells(sale: Sale) -> None:
    sale.define(total=10)
    sale.reserve(("o1", "ann", 1))
    assert sale.define(durability="confirmed")[0] == "changed"
    assert statuses(sale.reserve(("o1", "ann", 1), ("o2", "bob", 1))) == ["broker_away"] * 2
    assert sale.reserve_confirmed(("o1", "ann", 1))[0][4] == KEY
    sale.define(durability="fsync")
    assert statuses(sale.reserve(("o1", "ann", 1), ("o2", "bob", 1))) == ["replayed", "accepted"]


def test_terms_that_an_older_release_packed_mean_fsync(confirmed: Sale) -> None:
    confirmed.redis.hset(confirmed.keys.sale, "terms", packed(confirmed, "'open', 0, 0, 0, 300, 0, 1, 0"))
    assert statuses(confirmed.reserve(("o1", "ann", 1))) == ["accepted"]
    assert stale_terms(confirmed.redis.hgetall(confirmed.keys.sale)) == ("durability",)
    confirmed.redis.hset(confirmed.keys.sale, "durability", "fsync")
    assert stale_terms(confirmed.redis.hgetall(confirmed.keys.sale)) == ()


def packed(sale: Sale, words: str) -> bytes:
    return bytes(sale.redis.eval(f"return cmsgpack.pack({words})", 0))


def test_confirmed_sale_takes_no_order_before_its_definition_is_confirmed(sale: Sale) -> None:
    sale.define(total=10, durability="confirmed")
    before = sale.snapshot()
    assert statuses(sale.reserve_confirmed(("o1", "ann", 1), ("o2", "bob", 1))) == ["broker_away", "broker_away"]
    assert sale.snapshot() == before
    sale.confirm_definition()
    assert statuses(sale.reserve_confirmed(("o1", "ann", 1), ("o2", "bob", 1))) == ["accepted", "accepted"]


def test_added_units_are_sold_once_their_definition_is_confirmed(confirmed: Sale) -> None:
    confirmed.define(total=13)
    confirmed.define(total=15)
    assert statuses(confirmed.reserve_confirmed(("o1", "ann", 4))) == ["accepted"]
    assert statuses(confirmed.reserve_confirmed(("o2", "bob", 4), ("o3", "cid", 3))) == ["broker_away", "broker_away"]
    assert statuses(confirmed.reserve_confirmed(("o2", "bob", 6))) == ["accepted"]
    assert statuses(confirmed.reserve_confirmed(("o3", "cid", 1))) == ["broker_away"]
    confirmed.confirm_definition()
    assert statuses(confirmed.reserve_confirmed(("o3", "cid", 5))) == ["accepted"]


def test_units_taken_away_are_not_waited_for(confirmed: Sale) -> None:
    confirmed.define(total=13)
    confirmed.define(total=9)
    assert statuses(confirmed.reserve_confirmed(("o1", "ann", 9))) == ["accepted"]


def test_sale_that_becomes_confirmed_waits_for_units_that_were_never_confirmed(sale: Sale) -> None:
    sale.define(total=10)
    assert statuses(sale.reserve_confirmed(("o1", "ann", 1))) == ["accepted"]
    sale.define(durability="confirmed")
    assert statuses(sale.reserve_confirmed(("o2", "bob", 1))) == ["broker_away"]
    sale.confirm_definition()
    assert statuses(sale.reserve_confirmed(("o2", "bob", 1))) == ["accepted"]
