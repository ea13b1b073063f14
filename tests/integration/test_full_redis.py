"""A Redis without free memory refuses new orders, and accepts everything that frees memory."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from flashsale_core.keys import shard_keys, shard_of
from flashsale_gateway.outbox.group_consumer import CREATE_GROUP, GROUP
from flashsale_local_stack import Stack, wait_until
from flashsale_timeout_worker.wait_probes import MARK_RETURNED
from tests.fences import empty
from tests.integration.client import Client
from tests.integration.gateways import READY_SECONDS
from tests.integration.stores import on_all_masters, redis_client


@pytest.fixture
def full(stack: Stack) -> Iterator[Any]:
    """A client of Redis, whose memory limit is removed after the test."""
    with redis_client(stack.env()["REDIS_URL"]) as server:
        yield server
        server.config_set("maxmemory", 0, **on_all_masters(server))


def test_full_redis_accepts_payments_cancels_and_changes_but_no_order(client: Client, full: Any) -> None:
    sale = client.new_sale(5)
    paid, cancelled = (client.order(sale, user).body["orderId"] for user in ("ann", "bob"))
    full.config_set("maxmemory", 1, **on_all_masters(full))
    refused = client.order(sale, "cem")
    assert (refused.status, refused.code) == (503, "not_ready"), refused
    assert int(refused.headers["retry-after"]) > 0
    assert client.order(sale, "ann").status == 200
    assert client.admin({"productId": "never-made", "stock": 1}).status == 503
    assert client.admin({"productId": sale, "stock": 5, "paused": True}).status == 200
    assert client.pay(paid, f"p-{paid}").status == 200
    assert client.send("DELETE", f"/orders/{cancelled}").status == 200
    assert client.stock(sale) == (5, 4, 0, 1)
    # Their outbox entries are published and deleted; that also needs writes.
    shard = shard_keys(shard_of(sale))
    assert wait_until(lambda: full.xlen(shard.direct) + full.xlen(shard.outbox) == 0, READY_SECONDS)


def test_full_redis_lets_a_relay_start_and_a_probe_return(infra: Mapping[str, str]) -> None:
    with redis_client(infra["REDIS_URL"]) as server:
        empty(server)
        server.config_set("maxmemory", 1, **on_all_masters(server))
        try:
            assert server.eval(CREATE_GROUP, 1, "fs:{0}:outbox", GROUP) == b"OK"
            with pytest.raises(Exception, match="BUSYGROUP"):
                server.eval(CREATE_GROUP, 1, "fs:{0}:outbox", GROUP)
            assert server.eval(MARK_RETURNED, 1, "fs:waits", "60", 1) == 1
        finally:
            server.config_set("maxmemory", 0, **on_all_masters(server))
