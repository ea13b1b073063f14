"""Calls for several sales: each sale is decided as if it were alone, and what they share is written once."""

from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flashsale_core.keys import shard_of
from flashsale_core.messages import OrdersReserved, PaymentsRecorded, read
from tests.lua.servers import Sale, empty, reserve_many, settle_many

ALONE_DB = 1
"""The server on which the property test calls for one sale at a time."""


def neighbours(count: int) -> list[str]:
    """Names of sales of one shard."""
    shard = shard_of("sale-0")
    return [name for number in range(10_000) if shard_of(name := f"sale-{number}") == shard][:count]


@pytest.fixture
def pair(server: Any) -> tuple[Sale, Sale]:
    """Two sales of one shard, five units each."""
    empty(server)
    first, second = (Sale(server, name) for name in neighbours(2))
    for sale in (first, second):
        sale.define(total=5)
    return first, second


def stranger(server: Any) -> Sale:
    """A sale of another shard."""
    return Sale(server, next(f"far-{number}" for number in range(1000) if shard_of(f"far-{number}") != shard_of("sale-0")))


def test_each_sale_gets_its_own_answer(pair: tuple[Sale, Sale]) -> None:
    first, second = pair
    second.define(paused=1, state="paused")
    unknown = Sale(first.redis, "nobody-knows")
    answers, _ = reserve_many((first, [("o1", "ann", 3), ("o2", "bob", 3)]), (second, [("o1", "ann", 1)]), (unknown, [("o1", "ann", 1)]))
    assert [[result[0] for result in answer] for answer in answers] == [["accepted", "out_of_stock"], ["paused"], ["unknown_sale"]]
    assert (first.stock(), second.stock()) == ((5, 2, 3, 0), (5, 5, 0, 0))


def test_sales_of_one_payment_window_share_an_entry(pair: tuple[Sale, Sale]) -> None:
    first, second = pair
    before = len(first.outbox())
    _, [(_, routing_key, body)] = reserve_many((first, [("o1", "ann", 1), ("o2", "bob", 2)]), (second, [("o3", "cem", 1)]))
    assert first.outbox()[before:] == [(routing_key, body.encode())]
    assert routing_key == "order.reserved.300"
    messages, errors = read(body.encode())
    orders = [(message.sale, [line.order_id for line in message.orders]) for message in messages if isinstance(message, OrdersReserved)]
    assert (orders, errors) == ([(first.name, ["o1", "o2"]), (second.name, ["o3"])], [])
    members = {member.decode() for member in first.redis.zrange(first.shard.deadlines, 0, -1)}
    assert members == {f"{first.name}|o1", f"{first.name}|o2", f"{second.name}|o3"}


def test_another_window_is_another_entry_and_another_shard_is_not(pair: tuple[Sale, Sale]) -> None:
    first, second = pair
    far = stranger(first.redis)
    second.define(hold_seconds=60)
    far.define(total=5)
    before = len(first.outbox()), len(far.outbox())
    _, entries = reserve_many(*((sale, [("o1", "ann", 1)]) for sale in (first, second, far)))
    sales = {
        key: [message.sale for message in read(body.encode()).messages if isinstance(message, OrdersReserved)] for _, key, body in entries
    }
    assert sales == {"order.reserved.300": [first.name, far.name], "order.reserved.60": [second.name]}
    # All in the outbox of the first: any gateway publishes any of them.
    assert (len(first.outbox()), len(far.outbox())) == (before[0] + 2, before[1])
    assert far.deadlines() == {"o1": far.now + 300_000}


@pytest.mark.parametrize("broken", ["INVARIANT", "WRONGTYPE"])
def test_sale_with_broken_data_costs_the_others_nothing(pair: tuple[Sale, Sale], broken: str) -> None:
    first, second = pair
    if broken == "INVARIANT":
        first.redis.hset(first.keys.sale, "sold", 1)
    else:
        first.redis.set(first.keys.orders, "no hash")
    before = first.redis.hgetall(first.keys.sale)
    answers, entries = reserve_many((first, [("o1", "ann", 1)]), (second, [("o1", "ann", 1)]))
    assert answers[0].startswith(broken)
    assert ([result[0] for result in answers[1]], second.stock(), len(entries)) == (["accepted"], (5, 4, 1, 0), 1)
    answers, entries = settle_many((first, [("o1", "p1")]), (second, [("o1", "p1")]))
    assert answers[0].startswith(broken)
    assert (answers[1], second.stock(), len(entries)) == ([["paid", "P", ""]], (5, 4, 0, 1), 1)
    assert first.redis.hgetall(first.keys.sale) == before


def test_orders_that_cannot_be_counted_cost_the_others_nothing(pair: tuple[Sale, Sale]) -> None:
    """A single order is written without reading first, so the reason shows only then; those of a larger batch are read."""
    first, second = pair
    first.redis.set(first.keys.buyers, "no hash")
    before = first.redis.hgetall(first.keys.sale)
    for orders in ([("o1", "ann", 1)], [("o1", "ann", 1), ("o2", "ann", 1)]):
        answers, entries = reserve_many((first, orders), (second, [(f"o{len(orders)}", "ann", 1)]))
        assert answers[0].startswith("WRONGTYPE")
        assert ([result[0] for result in answers[1]], len(entries)) == (["accepted"], 1)
        assert (first.redis.hgetall(first.keys.sale), first.records(), first.deadlines().keys() & {"o1", "o2"}) == (before, {}, set())
    assert second.stock() == (5, 3, 2, 0)


def test_single_known_order_gets_its_first_answer(pair: tuple[Sale, Sale]) -> None:
    first, second = pair
    asked = (first, [("o1", "ann", 2)]), (second, [("o1", "bob", 1)])
    (given, _), _ = reserve_many(*asked)
    before = first.snapshot()
    answers, entries = reserve_many(*asked)
    assert (answers[0], first.snapshot()) == ([["replayed", *given[0][1:]]], before)
    assert reserve_many((first, [("o1", "ann", 1)]))[0] == [[["conflict"]]]
    first.cancel("o1")
    assert (entries, first.buyers(), reserve_many(*asked)[0][0][0][:2]) == ([], {}, ["gone", "C"])
    second.define(total=1)
    assert [result[0] for result in second.reserve(("o1", "bob", 1))] == ["replayed"]
    assert before != first.snapshot()


def test_sale_named_twice_is_refused_and_nothing_changes(pair: tuple[Sale, Sale]) -> None:
    first, second = pair
    before = first.snapshot()
    for many, items in ((reserve_many, [("o1", "ann", 5)]), (settle_many, [("o1", "p1")])):
        with pytest.raises(redis.ResponseError, match="TWICE"):
            many((first, items), (second, items), (first, items))
    assert first.snapshot() == before


def test_payments_of_several_sales_share_an_entry(pair: tuple[Sale, Sale]) -> None:
    first, second = pair
    reserve_many((first, [("o1", "ann", 2)]), (second, [("o1", "bob", 1), ("o2", "cem", 1)]))
    answers, [(_, key, body)] = settle_many((first, [("o1", "p1")]), (second, [("o1", "p2"), ("nobody", "p3")]))
    assert answers == [[["paid", "P", ""]], [["paid", "P", ""], ["undecided", "", "unknown_order"]]]
    messages, _ = read(body.encode())
    payments = [
        (message.sale, [line.payment_id for line in message.payments]) for message in messages if isinstance(message, PaymentsRecorded)
    ]
    assert (key, payments) == ("payment.recorded", [(first.name, ["p1"]), (second.name, ["p2", "p3"])])
    assert (first.stock(), second.stock()) == ((5, 3, 0, 2), (5, 3, 1, 1))
    assert first.redis.zrange(first.shard.deadlines, 0, -1) == [f"{second.name}|o2".encode()]


def test_strays_of_sales_that_share_a_shard_are_counted_together(pair: tuple[Sale, Sale]) -> None:
    first, second = pair
    settle_many((first, [("x1", "p1")]), (second, [("x1", "p1"), ("x2", "p2")]))
    assert first.redis.hget(first.shard.strays, "#") == b"3"
    answers, entries = settle_many((second, [("x2", "p2")]), (first, [("x1", "p1")]))
    assert (answers, entries) == ([[["undecided", "", "replayed"]]] * 2, [])


NAMES = ("sale-0", "sale-1", "sale-2", "sale-3")
ORDERS = st.tuples(st.sampled_from(["o1", "o2", "o3", "o4"]), st.sampled_from(["ann", "bob"]), st.integers(1, 3))
PAYMENTS = st.tuples(st.sampled_from(["o1", "o2", "o3", "o4"]), st.sampled_from(["p1", "p2", "p3"]))
CALLS = st.tuples(
    st.dictionaries(st.sampled_from(NAMES), st.lists(ORDERS, min_size=1, max_size=5), min_size=1),
    st.dictionaries(st.sampled_from(NAMES), st.lists(PAYMENTS, min_size=1, max_size=4)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(CALLS, min_size=1, max_size=4))
def test_several_sales_in_one_call_are_as_each_of_them_alone(server: Any, calls: list[Any]) -> None:
    empty(server)
    alone = redis.Redis(port=server.connection_pool.connection_kwargs["port"], db=ALONE_DB)
    empty(alone)
    worlds = [{name: Sale(client, name) for name in NAMES} for client in (server, alone)]
    for world in worlds:
        for number, name in enumerate(NAMES[:-1]):
            world[name].define(total=5 + number, max_per_user=number, rate_requests=3 * number, rate_seconds=10, late_payment="reacquire")
    together, apart = worlds
    for orders, payments in calls:
        answers, _ = reserve_many(*((together[name], items) for name, items in orders.items()))
        assert answers == [apart[name].reserve(*items) for name, items in orders.items()]
        if payments:
            answers, _ = settle_many(*((together[name], items) for name, items in payments.items()))
            assert answers == [apart[name].settle(*items) for name, items in payments.items()]
        assert of_hashes(server) == of_hashes(alone)
    alone.close()


def of_hashes(client: Any) -> dict[bytes, Any]:
    """All keys but the streams, because a call for several sales adds fewer entries there."""
    values: dict[bytes, Any] = {}
    for key in sorted(client.keys()):
        if key.endswith(b":fence"):
            # One entry for several sales has one position.
            continue
        match client.type(key):
            case b"hash":
                # The ids of entries are of the server's clock.
                values[key] = {name: value for name, value in client.hgetall(key).items() if name != b"announced"}
            case b"zset":
                values[key] = client.zrange(key, 0, -1, withscores=True)
    return values
