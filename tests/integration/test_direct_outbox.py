"""The direct outbox: its gateway publishes from it, and other gateways publish what a dead one left there."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flashsale_core import topology
from flashsale_core.keys import reserve_keys, shard_keys, shard_of
from flashsale_core.scripts import Order, pack_orders, read_scripts
from flashsale_local_stack import Stack, wait_until
from tests.integration.broker import control
from tests.integration.client import Client
from tests.integration.stores import redis_client


@pytest.fixture
def redis(stack: Stack) -> Iterator[Any]:
    with redis_client(stack.env()["REDIS_URL"]) as redis:
        yield redis


def wait_for(condition: Callable[[], bool], seconds: float, failure: str) -> None:
    assert wait_until(condition, seconds), failure


def metric(client: Client, name: str) -> float:
    lines = client.get("/metrics").raw.decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def added(redis: Any, stream: str) -> int:
    """Entries ever added to `stream`."""
    return int(redis.xinfo_stream(stream)["entries-added"])


def test_orders_and_payments_go_to_the_direct_outbox(client: Client, redis: Any) -> None:
    sale = client.new_sale(20)
    shard = shard_keys(shard_of(sale))
    shared = added(redis, shard.outbox)
    orders = [client.order(sale, f"u{number}").body["orderId"] for number in range(10)]
    assert client.pay(orders[0], f"p-{sale}").body["result"] == "paid"
    assert (added(redis, shard.outbox), added(redis, shard.direct) >= 2) == (shared, True)
    wait_for(lambda: redis.xlen(shard.direct) == 0, 30, "confirmed entries are not deleted")


def test_orders_go_to_the_shared_outbox_while_the_broker_is_down(stack: Stack, client: Client, redis: Any) -> None:
    sale = client.new_sale(20)
    shard = shard_keys(shard_of(sale))
    stack.kill("rabbitmq")
    wait_for(lambda: metric(client, "flashsale_broker_up") == 0, 20, "the gateway does not notice that the broker is down")
    shared = added(redis, shard.outbox)
    assert client.order(sale, "ann").status == 200
    assert added(redis, shard.outbox) == shared + 1
    stack.start("rabbitmq")
    wait_for(lambda: redis.xlen(shard.outbox) == 0, 40, "the relay does not publish the shared outbox")


def test_entry_of_a_dead_gateway_is_moved_and_published(stack: Stack, client: Client, redis: Any) -> None:
    sale = client.new_sale(20)
    shard = shard_keys(shard_of(sale))
    wait_for(lambda: redis.xlen(shard.direct) == 0, 30, "earlier entries are not published")
    reclaimed = metric(client, "flashsale_outbox_rescued_total")
    # A gateway ran the script, which added an entry to the direct outbox, and died a minute ago.
    names = reserve_keys([sale], direct=True)
    script = read_scripts(Path(stack.env()["FLASHSALE_LUA_DIR"])).reserve
    answer = msgspec.msgpack.decode(redis.eval(script.source, len(names), *names, pack_orders([(sale, [Order("o1", "ann", 1)])]), ""))
    assert answer[1][0][0] == "accepted"
    ((_, fields),) = redis.xrange(shard.direct)
    redis.delete(shard.direct)
    written_ms = int(time.time() - 60) * 1000
    redis.xadd(shard.direct, fields | {b"t": written_ms}, id=f"{written_ms}-0")
    wait_for(lambda: metric(client, "flashsale_outbox_rescued_total") == reclaimed + 1, 10, "no gateway reclaims the entry of the dead one")
    wait_for(lambda: redis.xlen(shard.direct) + redis.xlen(shard.outbox) == 0, 30, "the reclaimed entry is not published")


def test_refused_entry_delays_no_other(stack: Stack, client: Client, redis: Any) -> None:
    sale = client.new_sale(50)
    shard = shard_keys(shard_of(sale))
    orders = [client.order(sale, f"u{number}").body["orderId"] for number in range(20)]
    wait_for(lambda: redis.xlen(shard.direct) + redis.xlen(shard.outbox) == 0, 30, "the orders are not published")
    control(stack, "clear_policy", "events")
    try:
        # No queue has this window, and without the policy the broker returns messages it cannot route.
        refused = redis.xadd(shard.outbox, {"k": "order.reserved.7", "b": "{}"})
        wait_for(lambda: publish_failures(client) > 0, 10, "the entry was not tried")
        for order in orders:
            assert client.send("DELETE", f"/orders/{order}").status == 200
        wait_for(lambda: [entry for entry, _ in redis.xrange(shard.outbox)] == [refused], 10, "later entries wait for the refused one")
        assert metric(client, "flashsale_broker_up") == 1
    finally:
        policy = next(policy for policy in topology.definitions([], topology.WINDOWS_DEFAULT)["policies"] if policy["name"] == "events")
        control(stack, "set_policy", "--apply-to", "exchanges", "events", policy["pattern"], json.dumps(policy["definition"]))
    wait_for(lambda: redis.xlen(shard.outbox) == 0, 15, "the refused entry is not retried")


def publish_failures(client: Client) -> float:
    lines = client.get("/metrics").raw.decode().splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("flashsale_publish_failures_total{"))
