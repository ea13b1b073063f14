"""`dismiss` takes out gateways that are gone, and nobody who holds an entry."""

import time

import msgspec

from tests.lua.servers import SCRIPTS, Sale


def dismiss(sale: Sale, idle_ms: int) -> list[object]:
    packed = sale.redis.eval(SCRIPTS.dismiss.source, 1, sale.shard.outbox, "relay", str(idle_ms), str(sale.now))
    return list(msgspec.msgpack.decode(packed)[1:])


def test_only_who_holds_nothing_and_rests_for_long_is_taken_out(sale: Sale) -> None:
    stream = sale.shard.outbox
    sale.redis.xgroup_create(stream, "relay", mkstream=True)
    sale.redis.xadd(stream, {"k": "order.expired", "b": b"{}"})
    sale.redis.xreadgroup("relay", "holds", {stream: ">"})
    sale.redis.xgroup_createconsumer(stream, "relay", "gone")
    time.sleep(0.02)
    assert dismiss(sale, 60_000) == ["none", 0]
    assert dismiss(sale, 10) == ["dismissed", 1]
    assert [one["name"] for one in sale.redis.xinfo_consumers(stream, "relay")] == [b"holds"]
