"""Restoring a sale on a real server: what comes back, what a repeat changes, and what a fence refuses."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import redis

from flashsale_core.keys import restore_keys
from flashsale_core.orders import State
from flashsale_core.records import OrderRecord, stale_terms
from flashsale_core.scripts import pack
from flashsale_recovery.rebuild.join import RELEASED, Joined
from flashsale_recovery.rebuild.sale_restore import columns
from tests.lua.servers import Sale, empty

R, P, X, C = State.RESERVED, State.PAID, State.EXPIRED, State.CANCELLED
BOUGHT_LATE = "o5"


def lived(sale: Sale) -> Sale:
    """A sale with an order in each state, one that was bought after it had expired, refunds and a stray payment."""
    sale.define(total=20, late_payment="reacquire", max_released=2)
    sale.reserve(("o1", "ann", 2), ("o2", "ann", 1), ("o3", "bob", 1), ("o4", "ann", 1), (BOUGHT_LATE, "cem", 3))
    sale.settle(("o1", "p1"), ("o1", "p2"), ("o9", "p9"))
    sale.cancel("o2")
    sale.now += 300_000
    sale.expire("o3", "o4", BOUGHT_LATE)
    sale.settle((BOUGHT_LATE, "p5"))
    sale.reserve(("o6", "bob", 1, "00-a-b-01"), ("o7", "dan", 4))
    return sale


def state_of(sale: Sale) -> dict[str, Any]:
    return {
        "sale": {name: value for name, value in sale.redis.hgetall(sale.keys.sale).items() if name != b"terms"},
        "records": sale.records(),
        "buyers": sale.buyers(),
        "released": sale.released(),
        "deadlines": sale.deadlines(),
        "strays": sale.redis.hgetall(sale.shard.strays),
        "sales": sale.redis.smembers(sale.shard.sales),
    }


def begin(sale: Sale, *, keep: bool = False) -> None:
    if not keep:
        empty(sale.redis)
    sale.redis.hset(
        sale.shard.fence, mapping={"state": "restoring", "incarnation": 2, "seq": 1_000_007, "replid": history(sale), "attempt": "ours"}
    )


def history(sale: Sale) -> str:
    return str(sale.redis.info("replication")["master_replid"])


def restore(sale: Sale, part: Mapping[str, Any], incarnation: int = 2, attempt: str = "") -> list[Any]:
    """(status, written, seq)"""
    return list(sale._call("restore", restore_keys(sale.name), sale.name, str(incarnation), pack(part), clock_and=(attempt,))[1:])


def orders(records: Mapping[str, OrderRecord], released: Sequence[str] = ()) -> dict[str, Any]:
    """A part with these orders; `released` names paid orders that were released before."""
    joined = [Joined(name, record, record.state in RELEASED or name in released, None) for name, record in records.items()]
    return {"orders": columns(joined), "max_released": 2}


def whole(before: Mapping[str, Any]) -> dict[str, Any]:
    fields = [word.decode() for pair in before["sale"].items() for word in pair if pair[0] != b"limits_released"]
    strays = [word.decode() for pair in before["strays"].items() for word in pair if pair[0] != b"#"]
    return {"sale": fields, "strays": strays, **orders(before["records"], [BOUGHT_LATE])}


def test_restored_sale_is_as_it_was(sale: Sale) -> None:
    before = state_of(lived(sale))
    begin(sale)
    status, written, seq = restore(sale, whole(before))
    assert (status, written, seq) == ("restored", 7, 1_000_007)
    assert state_of(sale) == before
    assert stale_terms(sale.redis.hgetall(sale.keys.sale)) == ()
    assert 0 < sale.redis.pttl(sale.shard.strays) <= 7 * 24 * 3600 * 1000


def test_repeated_call_changes_nothing(sale: Sale) -> None:
    before = state_of(lived(sale))
    begin(sale)
    restore(sale, whole(before))
    once = sale.snapshot()
    assert restore(sale, whole(before))[1] == 0
    assert sale.snapshot() == once


def test_restored_in_any_pages_the_sale_is_the_same(sale: Sale) -> None:
    before = state_of(lived(sale))
    begin(sale)
    head = whole(before)
    restore(sale, {"sale": head["sale"], "strays": head["strays"]})
    for name, record in reversed(before["records"].items()):
        restore(sale, orders({name: record}, [BOUGHT_LATE]))
    assert state_of(sale) == before


def test_lower_state_is_replaced_and_a_higher_one_stays(sale: Sale) -> None:
    lived(sale)
    begin(sale, keep=True)
    records = sale.records()
    paid = OrderRecord(P, "dan", 4, records["o7"].deadline_ms, "", "p7")
    expired = OrderRecord(X, "bob", 1, records["o6"].deadline_ms, "00-a-b-01")
    lower = {"o1": OrderRecord(R, "ann", 2, 9), "o2": OrderRecord(R, "ann", 1, 9)}
    assert restore(sale, orders({"o7": paid, "o6": expired, **lower}))[1] == 2
    assert sale.records() == {**records, "o7": paid, "o6": expired}
    assert (sale.buyers(), sale.deadlines()) == ({"ann": 2, "cem": 3, "dan": 4}, {})
    assert sale.released() == {"ann": 2, "bob": 2, "cem": 1}


def test_bought_again_after_an_expiry_counts_once(sale: Sale) -> None:
    lived(sale)
    begin(sale, keep=True)
    bought = {"o3": OrderRecord(P, "bob", 1, sale.records()["o3"].deadline_ms, "", "p3")}
    for _ in range(2):
        restore(sale, orders(bought, ["o3"]))
    assert (sale.released()["bob"], sale.buyers()["bob"]) == (1, 2)


def test_buyers_that_are_counted_again_have_what_they_had(sale: Sale) -> None:
    before = state_of(lived(sale))
    begin(sale, keep=True)
    restore(sale, {"forget_buyers": True, "count": list(before["records"]), "lapsed": [BOUGHT_LATE]})
    assert state_of(sale) == before


def test_buyer_at_the_limit_of_released_orders_is_refused_again(sale: Sale) -> None:
    before = state_of(lived(sale))
    assert sale.reserve(("o8", "ann", 1))[0][0] == "order_limit"
    begin(sale)
    restore(sale, whole(before))
    sale.redis.hset(sale.shard.fence, "state", "open")
    assert [answer[0] for answer in sale.reserve(("o8", "ann", 1), ("o9", "bob", 1))] == ["order_limit", "accepted"]


def test_scripts_go_on_with_what_was_restored(sale: Sale) -> None:
    before = state_of(lived(sale))
    begin(sale)
    restore(sale, whole(before))
    sale.redis.hset(sale.shard.fence, "state", "open")
    payments = (("o7", "p7"), ("o1", "p1"), ("o1", "p2"), ("o9", "p9"), (BOUGHT_LATE, "p5"))
    assert [(result, reason) for result, _, reason in sale.settle(*payments)] == [
        ("paid", ""), ("replayed", ""), ("refund_due", "replayed"), ("undecided", "replayed"), ("replayed", ""),
    ]  # fmt: skip
    assert sale.cancel("o6")[0][0] == "cancelled"
    assert sale.stock() == (20, 11, 0, 9)


def test_messages_get_positions_of_the_new_incarnation(sale: Sale) -> None:
    begin(sale)
    lines = [("order.expired", '{"v":1,"orders":[]}'), ("sale.defined", '{"v":1}')]
    assert restore(sale, {"lines": lines})[2] == 1_000_009
    shard = int(sale.shard.fence.partition("{")[2].partition("}")[0])
    assert [(key, json.loads(body)) for key, body in sale.outbox()] == [
        ("order.expired", {"v": 1, "orders": [], "seq": [shard, 2, 1_000_008]}),
        ("sale.defined", {"v": 1, "seq": [shard, 2, 1_000_009]}),
    ]


def test_confirmed_sale_does_not_sell_units_that_the_ledger_learns_from_the_rebuild(sale: Sale) -> None:
    sale.define(total=10, durability="confirmed")
    begin(sale, keep=True)
    # The ledger knows 4 of the units; the message of the rebuild has the others.
    restore(sale, {"unannounced": 6, "lines": [("sale.defined", '{"v":1}'), ("sale.retired", '{"v":1}')]})
    sale.redis.hset(sale.shard.fence, "state", "open")
    assert [answer[0] for answer in sale.reserve_confirmed(("o1", "ann", 5))] == ["broker_away"]
    assert [answer[0] for answer in sale.reserve_confirmed(("o1", "ann", 4))] == ["accepted"]
    assert [answer[0] for answer in sale.reserve_confirmed(("o2", "bob", 1))] == ["broker_away"]
    sale.confirm_definition()
    assert [answer[0] for answer in sale.reserve_confirmed(("o2", "bob", 6))] == ["accepted"]


def test_earlier_sale_of_the_name_leaves_redis_and_nothing_else_does(sale: Sale) -> None:
    before = state_of(lived(sale))
    begin(sale, keep=True)
    epoch = int(before["sale"][b"epoch"])
    # The same sale, and one that is older than what Redis has.
    restore(sale, {"clear": epoch})
    restore(sale, {"clear": epoch - 1})
    assert state_of(sale) == before
    fields = ["epoch", str(epoch + 1), "total", "1", "available", "1", "reserved", "0", "sold", "0", "state", "open", "starts_ms", "0"]
    rest = ["ends_ms", "0", "max_per_user", "0", "hold_seconds", "300", "rate_requests", "0", "rate_seconds", "1"]
    restore(sale, {"clear": epoch + 1, "sale": [*fields, *rest]})
    assert (sale.records(), sale.buyers(), sale.stock()) == ({}, {}, (1, 1, 0, 0))


def test_orders_without_a_sale_are_not_deleted(sale: Sale) -> None:
    lived(sale)
    begin(sale, keep=True)
    sale.redis.delete(sale.keys.sale)
    restore(sale, {"clear": sale.now + 9_000_000})
    assert len(sale.records()) == 7


def test_removed_sale_gets_its_tombstone_for_the_rest_of_its_time(sale: Sale) -> None:
    before = state_of(lived(sale))
    begin(sale, keep=True)
    epoch, day_ms = int(before["sale"][b"epoch"]), 24 * 3600 * 1000
    removed_ms = sale.now - day_ms
    restore(sale, {"clear": epoch, "tombstone": ["admin", removed_ms, epoch, 6]})
    tombstone = {
        b"removed_ms": b"%d" % removed_ms,
        b"removed_owner": b"admin",
        b"removed_epoch": b"%d" % epoch,
        b"removed_generation": b"6",
    }
    assert (sale.redis.hgetall(sale.keys.sale), sale.records(), sale.buyers()) == (tombstone, {}, {})
    assert 28 * day_ms < sale.redis.pttl(sale.keys.sale) <= 29 * day_ms
    assert sale.redis.smembers(sale.shard.sales) == set()


@pytest.mark.parametrize("removed_before_days", [30, 400])
def test_old_tombstone_is_not_restored(sale: Sale, removed_before_days: int) -> None:
    begin(sale)
    restore(sale, {"tombstone": ["admin", sale.now - removed_before_days * 24 * 3600 * 1000, 5]})
    assert not sale.redis.exists(sale.keys.sale)


@pytest.mark.parametrize(
    ("fence", "reason"),
    [
        ({}, "missing"),
        ({"state": "open"}, "open"),
        ({"incarnation": 3}, "changed"),
        ({"replid": "0" * 40}, "history"),
        ({"attempt": "other"}, "changed"),
    ],
)
def test_fence_that_is_not_this_rebuilds_refuses(sale: Sale, fence: dict[str, Any], reason: str) -> None:
    before = state_of(lived(sale))
    begin(sale)
    if fence:
        sale.redis.hset(sale.shard.fence, mapping=fence)
    else:
        sale.redis.delete(sale.shard.fence)
    untouched = sale.snapshot()
    with pytest.raises(redis.ResponseError, match=f"FENCED {reason}"):
        restore(sale, {**whole(before), "lines": [("sale.defined", "{}")]}, attempt="ours")
    assert sale.snapshot() == untouched


def test_thousand_orders_are_restored_in_one_call(sale: Sale) -> None:
    begin(sale)
    records = {f"o{number:019}": OrderRecord(R, f"user-{number}", 1, 1_000_000_300_000 + number) for number in range(1000)}
    assert restore(sale, orders(records))[1] == 1000
    assert (sale.records(), len(sale.buyers()), len(sale.deadlines())) == (records, 1000, 1000)
