from typing import Any

import pytest
import redis

from flashsale_core.messages import OrdersReserved, ReservedLine
from flashsale_core.orders import State
from flashsale_core.records import OrderRecord
from tests.lua.servers import Sale, reserve_many, unplaced

HOLD_MS = 300_000
RATE_USERS_MAX = 100_000


def statuses(results: list[list[Any]]) -> list[str]:
    return [result[0] for result in results]


def test_accepted_order_holds_units_until_its_deadline(sale: Sale) -> None:
    sale.define(total=10)
    deadline = sale.now + HOLD_MS
    assert sale.reserve(("o1", "ann", 2)) == [["accepted", "R", deadline]]
    assert sale.stock() == (10, 8, 2, 0)
    assert sale.records() == {"o1": OrderRecord(State.RESERVED, "ann", 2, deadline)}
    assert (sale.buyers(), sale.deadlines()) == ({"ann": 2}, {"o1": deadline})


def test_batch_is_one_outbox_entry_of_its_accepted_orders(sale: Sale) -> None:
    sale.define(total=3)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    sale.reserve(("o1", "ann", 2), ("o2", "bob", 5), ("o3", "cid", 1, trace))
    key, body = sale.outbox()[-1]
    assert key == "order.reserved.300"
    assert unplaced(body) == OrdersReserved(
        v=1, sale="iphone", epoch=sale.now, at=sale.now, deadline=sale.now + HOLD_MS,
        orders=[ReservedLine("o1", "ann", 2), ReservedLine("o3", "cid", 1, trace)],
    )  # fmt: skip
    assert sale.records()["o3"].traceparent == trace


def test_nothing_accepted_writes_nothing(sale: Sale) -> None:
    sale.define(total=1)
    before = sale.snapshot()
    assert statuses(sale.reserve(("o1", "ann", 2))) == ["out_of_stock"]
    assert sale.snapshot() == before


def test_unknown_sale_is_refused(sale: Sale) -> None:
    assert sale.reserve(("o1", "ann", 1), ("o2", "bob", 1)) == [["unknown_sale"], ["unknown_sale"]]
    assert sale.snapshot() == {}


def test_smaller_order_still_fits_after_a_larger_was_refused(sale: Sale) -> None:
    sale.define(total=3)
    assert statuses(sale.reserve(("a", "u1", 2), ("b", "u2", 2), ("c", "u3", 1), ("d", "u4", 1))) == [
        "accepted", "out_of_stock", "accepted", "out_of_stock",
    ]  # fmt: skip
    assert sale.stock() == (3, 0, 3, 0)


def test_same_order_twice_in_a_batch_is_one_order(sale: Sale) -> None:
    sale.define(total=10)
    results = sale.reserve(("o1", "ann", 2), ("o1", "ann", 2), ("o1", "ann", 3))
    assert statuses(results) == ["accepted", "replayed", "conflict"]
    assert sale.stock() == (10, 8, 2, 0)


def test_replay_keeps_its_first_deadline_and_a_changed_body_conflicts(sale: Sale) -> None:
    sale.define(total=10)
    deadline = sale.now + HOLD_MS
    sale.reserve(("o1", "ann", 2))
    sale.now += 5_000
    assert sale.reserve(("o1", "ann", 2)) == [["replayed", "R", deadline]]
    assert sale.reserve(("o1", "ann", 1)) == [["conflict"]]
    assert sale.stock() == (10, 8, 2, 0)


def test_replay_is_answered_when_the_sale_takes_no_orders(sale: Sale) -> None:
    sale.define(total=1)
    sale.reserve(("o1", "ann", 1))
    assert statuses(sale.reserve(("o1", "ann", 1), ("o2", "bob", 1))) == ["replayed", "out_of_stock"]
    sale.define(state="paused")
    assert statuses(sale.reserve(("o1", "ann", 1), ("o2", "bob", 1))) == ["replayed", "paused"]
    sale.retire("close")
    assert statuses(sale.reserve(("o1", "ann", 1), ("o2", "bob", 1))) == ["replayed", "closed"]


def test_replay_of_a_finished_order_returns_its_state(sale: Sale) -> None:
    sale.define(total=5)
    sale.reserve(("paid", "a", 1), ("gone", "b", 1), ("back", "c", 1))
    deadline = sale.now + HOLD_MS
    sale.settle(("paid", "p1"))
    sale.cancel("back")
    sale.now = deadline
    sale.expire("gone")
    assert sale.reserve(("paid", "a", 1), ("gone", "b", 1), ("back", "c", 1)) == [
        ["replayed", "P", deadline], ["gone", "X", deadline], ["gone", "C", deadline],
    ]  # fmt: skip


def test_repeated_order_is_found_by_its_other_id(sale: Sale) -> None:
    """While the key of order ids is replaced, gateways make different ids of one request, and look for both."""
    sale.define(total=5)
    deadline = sale.now + HOLD_MS
    sale.reserve(("old", "ann", 2), ("old-gone", "bob", 1))
    sale.cancel("old-gone")
    before = sale.snapshot()
    assert sale.reserve(("new", "ann", 2, "", "old")) == [["replayed", "R", deadline, 0, "", "old"]]
    answers = sale.reserve(("new", "ann", 2, "", "old"), ("new", "ann", 1, "", "old"), ("new-gone", "bob", 1, "", "old-gone"))
    assert answers == [["replayed", "R", deadline, 0, "", "old"], ["conflict"], ["gone", "C", deadline]]
    assert sale.snapshot() == before


def test_new_order_has_its_first_id_whatever_its_other_one(sale: Sale) -> None:
    sale.define(total=5)
    deadline = sale.now + HOLD_MS
    assert sale.reserve(("a", "ann", 1, "", "other-a")) == [["accepted", "R", deadline]]
    answers = sale.reserve(("b", "bob", 1, "", "other-b"), ("b", "bob", 1, "", "other-b"), ("a", "ann", 1, "", "other-a"))
    assert answers == [["accepted", "R", deadline], ["replayed", "R", deadline], ["replayed", "R", deadline]]
    assert (set(sale.records()), sale.stock()) == ({"a", "b"}, (5, 3, 2, 0))


def test_window_is_closed_before_its_start_and_from_its_end(sale: Sale) -> None:
    sale.define(total=5, starts_ms=sale.now + 1_500, ends_ms=sale.now + 3_000)
    assert sale.reserve(("a", "u", 1)) == [["not_started", "", 0, 1_500]]
    sale.now += 1_500
    assert statuses(sale.reserve(("a", "u", 1))) == ["accepted"]
    sale.now += 1_500
    assert statuses(sale.reserve(("b", "u", 1))) == ["ended"]


def test_buyer_limit_counts_held_and_bought_but_not_released_units(sale: Sale) -> None:
    sale.define(total=10, max_per_user=2)
    assert statuses(sale.reserve(("a", "u", 1), ("b", "u", 2), ("c", "u", 1), ("d", "u", 1), ("e", "v", 2))) == [
        "accepted", "user_limit", "accepted", "user_limit", "accepted",
    ]  # fmt: skip
    sale.settle(("a", "p1"))
    sale.cancel("c")
    assert (sale.buyers(), statuses(sale.reserve(("f", "u", 1), ("g", "u", 1)))) == ({"u": 1, "v": 2}, ["accepted", "user_limit"])


def test_buyer_limit_comes_before_stock(sale: Sale) -> None:
    sale.define(total=1, max_per_user=1)
    sale.reserve(("a", "u", 1))
    assert statuses(sale.reserve(("b", "u", 1), ("c", "v", 1))) == ["user_limit", "out_of_stock"]


def test_limit_introduced_later_counts_earlier_units(sale: Sale) -> None:
    sale.define(total=9)
    sale.reserve(("a", "u", 3))
    sale.define(max_per_user=3)
    assert statuses(sale.reserve(("b", "u", 1))) == ["user_limit"]


class TestRate:
    """10 s windows that begin at multiples of 10 s."""

    @pytest.fixture(autouse=True)
    def _sale(self, sale: Sale) -> None:
        sale.now = 1_000_000_000_000
        sale.define(total=100, rate_requests=2, rate_seconds=10)

    def test_requests_past_the_limit_get_the_time_to_retry(self, sale: Sale) -> None:
        sale.now += 4_000
        assert sale.reserve(("a", "u", 1), ("b", "u", 1), ("c", "u", 1), ("d", "v", 1)) == [
            ["accepted", "R", sale.now + HOLD_MS], ["accepted", "R", sale.now + HOLD_MS],
            ["rate_limited", "", 0, 6_000], ["accepted", "R", sale.now + HOLD_MS],
        ]  # fmt: skip

    def test_refused_orders_count_and_replays_do_not(self, sale: Sale) -> None:
        assert statuses(sale.reserve(("a", "u", 1), ("a", "u", 1), ("big", "u", 500))) == ["accepted", "replayed", "out_of_stock"]
        assert statuses(sale.reserve(("b", "u", 1))) == ["rate_limited"]

    def test_previous_window_weighs_what_is_left_of_it(self, sale: Sale) -> None:
        sale.reserve(("a", "u", 1), ("b", "u", 1))
        sale.now += 10_000
        assert statuses(sale.reserve(("c", "u", 1))) == ["rate_limited"]
        sale.now += 4_999
        assert statuses(sale.reserve(("c", "u", 1))) == ["rate_limited"]
        sale.now += 1
        assert statuses(sale.reserve(("c", "u", 1), ("d", "u", 1))) == ["accepted", "rate_limited"]

    def test_hash_of_an_older_window_counts_as_empty(self, sale: Sale) -> None:
        sale.reserve(("a", "u", 1), ("b", "u", 1))
        sale.now += 20_000
        assert statuses(sale.reserve(("c", "u", 1), ("d", "u", 1), ("e", "u", 1))) == ["accepted", "accepted", "rate_limited"]
        assert sale.redis.hgetall(sale.keys.rate_even) == {b"#": b"100000002", b"u": b"2"}

    def test_windows_expire_on_their_own(self, sale: Sale) -> None:
        sale.reserve(("a", "u", 1))
        assert 0 < sale.redis.pttl(sale.keys.rate_even) <= 20_000


def test_full_batch_is_accepted(sale: Sale) -> None:
    sale.define(total=200)
    results = sale.reserve(*[(f"o{n}", f"u{n}", 1) for n in range(256)])
    assert (statuses(results).count("accepted"), statuses(results).count("out_of_stock"), sale.stock()) == (200, 56, (200, 0, 200, 0))


def test_broken_counters_are_refused_and_left_as_they_are(sale: Sale) -> None:
    sale.define(total=10)
    sale.redis.hset(sale.keys.sale, "reserved", 1)
    before = sale.snapshot()
    answers, entries = reserve_many((sale, [("o1", "ann", 1)]))
    assert answers[0].startswith("INVARIANT total 10 is not available 9 + reserved 2")
    assert (entries, sale.snapshot()) == ([], before)


@pytest.mark.parametrize("max_per_user", [0, 2])
def test_buyer_whose_count_is_broken_gets_no_further_units(sale: Sale, max_per_user: int) -> None:
    sale.define(total=10, max_per_user=max_per_user)
    sale.redis.hset(sale.keys.buyers, "ann", "broken")
    before = sale.snapshot()
    for orders in ([("o1", "ann", 1)], [("o1", "ann", 1), ("o2", "bob", 1)]):
        answers, entries = reserve_many((sale, orders))
        assert isinstance(answers[0], str)
        assert (entries, sale.snapshot()) == ([], before)


def test_sale_without_packed_terms_gets_them_with_its_first_order(sale: Sale) -> None:
    sale.define(total=10, max_per_user=2, rate_requests=5)
    terms = sale.terms()
    sale.redis.hdel(sale.keys.sale, "terms")
    assert statuses(sale.reserve(("o1", "ann", 2), ("o2", "ann", 1))) == ["accepted", "user_limit"]
    assert sale.terms() == terms == ["open", 0, 0, 2, 300, 5, 1, 0, False]


def test_server_without_memory_refuses_and_changes_nothing(sale: Sale) -> None:
    sale.define(total=10)
    before = sale.snapshot()
    sale.redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.ResponseError, match=r"OOM|maxmemory"):
            sale.reserve(("o1", "ann", 1))
    finally:
        sale.redis.config_set("maxmemory", 0)
    assert sale.snapshot() == before


def test_master_without_its_replicas_answers_nothing(sale: Sale) -> None:
    """It may have been replaced, and its successor sells what it takes for sold out."""
    sale.define(total=1, max_per_user=1)
    sale.reserve(("o1", "ann", 1))
    refused = ("o2", "bob", 1), ("o3", "ann", 1), ("o1", "ann", 1), ("o1", "ann", 2)
    answers = [sale.reserve(order) for order in refused]
    assert [statuses(answer) for answer in answers] == [["out_of_stock"], ["user_limit"], ["replayed"], ["conflict"]]
    before = sale.snapshot()
    sale.redis.config_set("min-replicas-to-write", 1)
    try:
        for orders in (*((order,) for order in refused), refused):
            with pytest.raises(redis.ResponseError, match="NOREPLICAS"):
                sale.reserve(*orders)
    finally:
        sale.redis.config_set("min-replicas-to-write", 0)
    assert sale.snapshot() == before
    assert [sale.reserve(order) for order in refused] == answers


def test_answer_contains_the_outbox_entry(sale: Sale) -> None:
    sale.define(total=1)
    _, [(entry_id, key, body)] = reserve_many((sale, [("o1", "ann", 1)]))
    assert (key, body.encode()) == sale.outbox()[-1]
    assert entry_id.encode() == sale.redis.xrevrange(sale.shard.outbox, count=1)[0][0]
    assert reserve_many((sale, [("o1", "ann", 1), ("o2", "bob", 1)]))[1] == []


def test_full_rate_window_counts_no_new_user_and_refuses_none(sale: Sale) -> None:
    sale.define(total=1000, rate_requests=2, rate_seconds=60)
    sale.now -= sale.now % 120_000
    sale.reserve(("o1", "ann", 1), ("o2", "ann", 1))
    strangers = {f"stranger{number}": 1 for number in range(RATE_USERS_MAX - 2)}
    sale.redis.hset(sale.keys.rate_even, mapping=strangers)
    # Bob takes the last place; none is left for cid and dora.
    assert statuses(sale.reserve(("o3", "bob", 1), ("o4", "cid", 1), ("o5", "ann", 1))) == ["accepted", "accepted", "rate_limited"]
    assert statuses(sale.reserve(*[(f"d{number}", "dora", 1) for number in range(5)])) == ["accepted"] * 5
    assert statuses(sale.reserve(("o6", "bob", 1), ("o7", "bob", 1))) == ["accepted", "rate_limited"]
    assert sale.redis.hlen(sale.keys.rate_even) == RATE_USERS_MAX + 1
    sale.now += 120_000
    assert statuses(sale.reserve(*[(f"e{number}", "dora", 1) for number in range(3)])) == ["accepted", "accepted", "rate_limited"]


def test_sold_out_sale_counts_no_requests(sale: Sale) -> None:
    sale.define(total=2, rate_requests=2, rate_seconds=60)
    sale.reserve(("o1", "ann", 1))
    sale.now += 60_000
    assert sale.redis.exists(sale.keys.rate_even, sale.keys.rate_odd) == 1
    asked = [(f"a{number}", "ann", 1) for number in range(5)]
    assert statuses(sale.reserve(("o2", "bob", 1), *asked)) == ["accepted"] + ["out_of_stock"] * 5
    assert statuses(sale.reserve(*asked, ("c", "cid", 1))) == ["out_of_stock"] * 6
    assert sale.redis.exists(sale.keys.rate_even, sale.keys.rate_odd) == 0
    sale.cancel("o2")
    assert statuses(sale.reserve(("b2", "ann", 2), ("b3", "ann", 2), ("b4", "ann", 1))) == ["out_of_stock", "out_of_stock", "rate_limited"]
