"""A key of the wrong type: the script names the key and changes nothing, whichever of its keys it is."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import redis

from flashsale_core.keys import (
    attest_keys,
    define_keys,
    order_keys,
    reclaim_keys,
    reserve_keys,
    restock_keys,
    return_keys,
    settle_keys,
    shard_of,
)
from flashsale_core.scripts import pack
from tests.lua.servers import FAR, SCRIPTS, Sale, reserve_many, settle_many
from tests.lua.test_headers import LUA, numbered, parts

DELETED = {"orders", "buyers", "rate_even", "rate_odd"}
"""What `define` and `retire` only delete, whatever it is."""
Call = tuple[Sequence[str], Callable[[], Any]]
"""Its keys, and what it answers."""


def prepared(sale: Sale, **fields: Any) -> Sale:
    """o1 of ann is held and due, o2 of bob has expired, o3 of bob is paid; both outboxes have an entry."""
    sale.define(total=10, late_payment="reacquire", **fields)
    sale.reserve(("o2", "bob", 1))
    sale.now += 300_000
    sale.expire("o2")
    sale.reserve(("o1", "ann", 1), ("o3", "bob", 1))
    sale.settle(("o3", "p3"))
    sale.now += 300_000
    for stream in (sale.shard.direct, sale.shard.outbox):
        sale.redis.xadd(stream, {"k": "order.expired", "b": "{}"}, id="1-*" if stream == sale.shard.direct else "*")
    sale.redis.xgroup_create(sale.shard.outbox, "relay", id="$")
    return sale


def one_order(sale: Sale) -> Call:
    prepared(sale)
    return reserve_keys([sale.name]), lambda: reserve_many((sale, [("o4", "cem", 1)]))


def several_orders(sale: Sale) -> Call:
    prepared(sale, max_per_user=2, rate_requests=5)
    return reserve_keys([sale.name]), lambda: reserve_many((sale, [("o4", "cem", 1), ("o5", "dea", 2)]))


def settle(sale: Sale) -> Call:
    prepared(sale)
    return settle_keys([sale.name]), lambda: settle_many((sale, [("o1", "p1"), ("o2", "p2"), ("nobody", "p4")]))


def cancel(sale: Sale) -> Call:
    return order_keys(prepared(sale).name), lambda: sale.cancel("o1")


def expire(sale: Sale) -> Call:
    return order_keys(prepared(sale).name), lambda: sale.expire("o1", "ghost")


def return_order(sale: Sale) -> Call:
    return return_keys(prepared(sale).name), lambda: sale.take_back(("o3", True))


def restock(sale: Sale) -> Call:
    prepared(sale).take_back(("o3", True))
    return restock_keys(sale.name), lambda: sale.restock("o3")


def _of_definition(sale: Sale) -> Sequence[str]:
    return define_keys(sale.name)


def create(sale: Sale) -> Call:
    other = Sale(prepared(sale).redis, next(name for n in range(1000) if shard_of(name := f"new-{n}") == shard_of(sale.name)))
    return _of_definition(other), lambda: other.define(total=5)


def change(sale: Sale) -> Call:
    return _of_definition(prepared(sale)), lambda: sale.define(state="paused")


def close(sale: Sale) -> Call:
    return _of_definition(prepared(sale)), lambda: sale.retire("close")


def remove(sale: Sale) -> Call:
    prepared(sale).expire("o1")
    sale.retire("close")
    return _of_definition(sale), lambda: sale.retire("remove")


def reclaim(sale: Sale) -> Call:
    keys = reclaim_keys(shard_of(prepared(sale).name))
    return keys, lambda: sale._call("reclaim", keys, "1000", "64")


def prune_consumers(sale: Sale) -> Call:
    keys = (prepared(sale).shard.outbox,)
    return keys, lambda: sale._call("prune_consumers", keys, "relay", "0")


def attest(sale: Sale) -> Call:
    keys = attest_keys(shard_of(prepared(sale).name))
    return keys, lambda: sale._call("attest", keys, "gateway-1", "7", "0")


def seal(sale: Sale) -> Call:
    keys = (prepared(sale).shard.fence,)
    return keys, lambda: sale._call("seal", keys, "1", "open", pack({"state": "fenced"}), "")


CALLS: dict[Callable[[Sale], Call], tuple[str, set[str]]] = {
    one_order: ("reserve", {"rate_even", "rate_odd"}),
    several_orders: ("reserve", set()),
    settle: ("settle", set()),
    cancel: ("cancel", set()),
    expire: ("expire", set()),
    return_order: ("return_order", set()),
    restock: ("restock", set()),
    create: ("define", {"rate_even", "rate_odd"}),
    change: ("define", DELETED),
    close: ("retire", DELETED),
    remove: ("retire", DELETED),
    reclaim: ("reclaim", set()),
    attest: ("attest", set()),
    seal: ("seal", set()),
    prune_consumers: ("prune_consumers", set()),
}
"""Each with its script, and the keys that it reads nothing from."""


def test_every_script_is_covered() -> None:
    # Recovery's own script runs on a shard that nobody else writes to; test_restore.py holds what it refuses.
    assert {script for script, _ in CALLS.values()} == {script.name for script in SCRIPTS} - {"restore"}


def key_names(script: str) -> list[str]:
    header, _ = parts(LUA / f"{script}.lua")
    return list(numbered(header, "KEYS").values())


@pytest.mark.parametrize(
    ("arrange", "place"),
    [
        pytest.param(arrange, place, id=f"{arrange.__name__}-{name}")
        for arrange, (script, unread) in CALLS.items()
        for place, name in enumerate(key_names(script))
        if name not in unread
    ],
)
def test_key_of_the_wrong_type_changes_nothing(sale: Sale, arrange: Callable[[Sale], Call], place: int) -> None:
    keys, call = arrange(sale)
    plant(sale, keys[place])
    before = sale.snapshot()
    assert "WRONGTYPE" in refusal(call)
    assert sale.snapshot() == before


@pytest.mark.parametrize("what", ["sale", "orders", "buyers", "deadlines"])
@pytest.mark.parametrize("arrange", [one_order, several_orders, settle], ids=lambda arrange: arrange.__name__)
def test_other_sales_of_the_call_are_not_affected(sale: Sale, what: str, arrange: Callable[[Sale], Call]) -> None:
    arrange(sale)
    far = Sale(sale.redis, FAR)
    far.define(total=5)
    far.reserve(("o1", "ann", 1))
    far.now = sale.now
    plant(sale, getattr(sale.keys, what, None) or sale.shard.deadlines)
    before = sale.snapshot()
    if arrange is settle:
        answers, _ = settle_many((far, [("o1", "p1")]), (sale, [("o1", "p1"), ("o2", "p2")]))
        assert (answers[0], far.stock()) == ([["paid", "P", ""]], (5, 4, 0, 1))
    else:
        orders = [("o4", "cem", 1), ("o5", "dea", 2)][: 1 if arrange is one_order else 2]
        answers, _ = reserve_many((far, [("o2", "bob", 1)]), (sale, orders))
        assert ([answer[0] for answer in answers[0]], far.stock()) == (["accepted"], (5, 3, 2, 0))
    assert "WRONGTYPE" in answers[1]
    assert f"(sale {sale.name})" in answers[1]
    assert of_shard(sale.snapshot(), sale) == of_shard(before, sale)


def test_units_of_a_buyer_that_are_no_number_change_nothing(sale: Sale) -> None:
    prepared(sale)
    sale.redis.hset(sale.keys.buyers, mapping={"ann": "many", "bob": "many"})
    before = sale.snapshot()
    for call in (lambda: sale.expire("o1"), lambda: sale.cancel("o1"), lambda: settle_many((sale, [("o2", "p2")]))):
        assert "user_script" in refusal(call)
        assert sale.snapshot() == before


def of_shard(snapshot: dict[bytes, Any], sale: Sale) -> dict[bytes, Any]:
    prefix = sale.shard.outbox.removesuffix("outbox").encode()
    return {key: value for key, value in snapshot.items() if key.startswith(prefix)}


def plant(sale: Sale, key: str) -> None:
    """A string, which no script writes."""
    sale.redis.delete(key)
    sale.redis.set(key, "a text")


def refusal(call: Callable[[], Any]) -> str:
    """Why the script changed nothing: its error, or the words in place of an item's result."""
    try:
        return str(call())
    except redis.ResponseError as error:
        return str(error)
