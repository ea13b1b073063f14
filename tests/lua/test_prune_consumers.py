"""`prune_consumers` removes idle consumers, and none that holds an entry."""

import time

import msgspec

from tests.lua.servers import SCRIPTS, Sale


def prune_consumers(sale: Sale, idle_ms: int) -> list[object]:
    packed = sale.redis.eval(SCRIPTS.prune_consumers.source, 1, sale.shard.outbox, "relay", str(idle_ms), str(sale.now))
    return list(msgspec.msgpack.decode(packed)[1:])


def test_only_idle_consumers_without_entries_are_removed(sale: Sale) -> None:
    stream = sale.shard.outbox
    sale.redis.xgroup_create(stream, "relay", mkstream=True)
    sale.redis.xadd(stream, {"k": "order.expired", "b": b"{}"})
    sale.redis.xreadgroup("relay", "holds", {stream: ">"})
    sale.redis.xgroup_createconsumer(stream, "relay", "gone")
    time.sleep(0.02)
    assert prune_consumers(sale, 60_000) == ["none", 0]
    assert prune_consumers(sale, 10) == ["dismissed", 1]
    assert [consumer["name"] for consumer in sale.redis.xinfo_consumers(stream, "relay")] == [b"holds"]
