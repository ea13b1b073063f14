"""A server with full memory that must not evict: it refuses new orders and sales, and accepts everything that ends a hold or a sale."""

from collections.abc import Iterator

import pytest
import redis

from flashsale_core.keys import reclaim_keys, shard_of
from flashsale_gateway.outbox.streams import ACKNOWLEDGE
from flashsale_local_stack import wait_until
from tests.lua.servers import SCRIPTS, Sale, reserve_many

NEIGHBOUR = next(name for number in range(1000) if shard_of(name := f"old-{number}") == shard_of("iphone"))
BALLAST_BYTES, SPARE_BYTES = 4_000_000, 1_000_000
WAIT_SECONDS = 60


@pytest.fixture
def old(sale: Sale) -> Iterator[Sale]:
    """A sold-out sale whose orders fill the memory. The sale of the test has o1 and o2 held for ann, and o3 for bob."""
    old = Sale(sale.redis, NEIGHBOUR)
    old.define(total=5)
    sale.define(total=10, late_payment="reacquire")
    sale.reserve(("o1", "ann", 1), ("o2", "ann", 1), ("o3", "bob", 1))
    sale.redis.xgroup_create(sale.shard.outbox, "relay", id="0")
    used = sale.redis.info("memory")["used_memory"]
    sale.redis.hset(old.keys.orders, "ballast", b"x" * BALLAST_BYTES)
    sale.redis.config_set("maxmemory", used + SPARE_BYTES)
    yield old
    sale.redis.config_set("maxmemory", 0)


def test_full_server_refuses_orders_and_new_sales(sale: Sale, old: Sale) -> None:
    before = sale.snapshot()
    new = Sale(sale.redis, "new")
    for call in (lambda: sale.reserve(("o4", "cem", 1)), lambda: new.define(total=1)):
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            call()
    assert sale.snapshot() == before
    assert [result[0] for result in sale.reserve(("o1", "ann", 1))] == ["replayed"]


def test_full_server_refuses_orders_when_rate_counts_are_deleted(sale: Sale, old: Sale) -> None:
    """Both delete counts first, and after its first write Redis refuses a script nothing."""
    sale.redis.config_set("maxmemory", 0)
    sale.define(total=4, rate_requests=5, rate_seconds=1)
    sale.redis.config_set("maxmemory", 1)
    last = Sale(sale.redis, NEIGHBOUR)
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        sale.reserve(("o4", "cem", 1))
    assert sale.stock() == (4, 1, 3, 0)
    sale.redis.config_set("maxmemory", 0)
    sale.define(total=5)
    sale.redis.config_set("maxmemory", 1)
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        sale.reserve(("o4", "cem", 1))
    sale.redis.config_set("maxmemory", 0)
    sale.define(total=4)
    sale.reserve(("o4", "cem", 1))
    sale.redis.config_set("maxmemory", 1)
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        reserve_many((sale, [("o5", "cem", 1)]), (last, [("o1", "ann", 1)]))
    assert last.stock() == (5, 5, 0, 0)


def test_full_server_settles_and_releases_and_a_removal_frees_it(sale: Sale, old: Sale) -> None:
    assert sale.settle(("o1", "p1"), ("nobody", "p2")) == [["paid", "P", ""], ["undecided", "", "unknown_order"]]
    assert [result[0] for result in sale.cancel("o2")] == ["cancelled"]
    sale.now += 300_000
    assert [result[0] for result in sale.expire("o3")] == ["expired"]
    assert sale.settle(("o3", "p3")) == [["paid", "P", ""]]
    assert sale.define(state="paused")[0] == "changed"
    assert sale.define(state="open")[0] == "changed"
    assert [old.retire(action)[0] for action in ("close", "remove")] == ["closed", "removed"]
    # The server frees unlinked keys in another thread.
    assert wait_until(lambda: accepted(sale), WAIT_SECONDS)


def test_full_server_lets_the_relay_empty_its_outboxes(sale: Sale, old: Sale) -> None:
    client, stream = sale.redis, sale.shard.outbox
    for script in SCRIPTS:
        client.script_load(script.source)
    client.config_set("maxmemory", 0)
    client.xadd(sale.shard.direct, {"k": "order.expired", "b": "{}"}, id="1-*")
    client.config_set("maxmemory", 1)
    assert sale._call("reclaim", reclaim_keys(shard_of(sale.name)), "1000", "64")[1:] == ["moved", 1]
    ((_, entries),) = client.xreadgroup("relay", "one", {stream: ">"})
    assert len(client.xautoclaim(stream, "relay", "two", 0)[1]) == len(entries) > 1
    assert sale._call("prune_consumers", (stream,), "relay", "0")[1:] == ["dismissed", 1]
    ids = [entry_id for entry_id, _ in entries]
    assert (client.eval(ACKNOWLEDGE, 1, stream, "relay", *ids), client.xlen(stream)) == (len(ids), 0)


def accepted(sale: Sale) -> bool:
    try:
        return [result[0] for result in sale.reserve(("o5", "dea", 1))] == ["accepted"]
    except redis.exceptions.OutOfMemoryError:
        return False
