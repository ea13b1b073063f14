"""A gateway's consumer of the shared outbox: every entry is held by a consumer or gone, and those of a dead gateway are claimed."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.exceptions import RedisError

from flashsale_core.keys import shard_keys
from flashsale_core.scripts import read_scripts
from flashsale_gateway.outbox.group_consumer import GROUP, NEW, GroupConsumer
from flashsale_redis import open_redis
from tests.fences import empty
from tests.integration.stores import on_all_masters, redis_client

STREAM = shard_keys(3).outbox
FIELDS: dict[Any, Any] = {"k": "order.expired", "b": "{}"}
CLAIM_IDLE_MS = 30_000
HELD = 700
"""More than one XAUTOCLAIM examines: ten times its COUNT."""


@pytest.fixture
def server(infra: Mapping[str, str]) -> Iterator[Any]:
    with redis_client(infra["REDIS_URL"]) as client:
        empty(client)
        client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        yield client
        client.acl_deluser("narrow", **on_all_masters(client))


def consumer_of(infra: Mapping[str, str], redis: Any) -> GroupConsumer:
    return GroupConsumer(redis, read_scripts(Path(infra["FLASHSALE_LUA_DIR"])), "me", block_ms=1000, claim_idle_ms=CLAIM_IDLE_MS)


async def test_entry_that_may_not_be_deleted_stays_held(infra: Mapping[str, str], server: Any) -> None:
    server.acl_setuser(
        "narrow", enabled=True, passwords=["+secret"], keys=["*"], categories=["+@all"], commands=["-xdel"], **on_all_masters(server)
    )
    url = urlsplit(infra["REDIS_URL"])
    server.xadd(STREAM, FIELDS)
    async with open_redis(url._replace(netloc=f"narrow:secret@{url.netloc.rpartition('@')[2]}").geturl(), 5, 4) as redis:
        consumer = consumer_of(infra, redis)
        entries = await consumer.read({STREAM: NEW})
        with pytest.raises(RedisError):
            await consumer.confirm(entries)
        # Acknowledged, it would be in the stream for ever, and its age would stop all orders.
        assert [held["message_id"].decode() for held in server.xpending_range(STREAM, GROUP, "-", "+", 2)] == [entries[0].entry_id]
        server.acl_setuser("narrow", enabled=True, commands=["+xdel"], **on_all_masters(server))
        await consumer.confirm(entries)
    assert (server.xlen(STREAM), server.xpending(STREAM, GROUP)["pending"]) == (0, 0)


async def test_entry_of_a_dead_gateway_is_claimed_behind_many_that_are_held(infra: Mapping[str, str], server: Any) -> None:
    with server.pipeline(transaction=False) as pipe:
        for _ in range(HELD + 1):
            pipe.xadd(STREAM, FIELDS)
        left = pipe.execute()[-1]
    server.xreadgroup(GROUP, "busy", {STREAM: ">"}, count=HELD)
    server.xreadgroup(GROUP, "dead", {STREAM: ">"})
    async with open_redis(infra["REDIS_URL"], 5, 4) as redis:
        consumer = consumer_of(infra, redis)
        # The others are not idle: a gateway reads those of a refused route again and again.
        server.xclaim(STREAM, GROUP, "dead", 0, [left], idle=2 * CLAIM_IDLE_MS)
        claimed = [entry.entry_id for _ in range(2) for entry in await consumer.claim([STREAM])]
    assert claimed == [left.decode()]


async def test_consumer_that_leaves_is_deleted_unless_it_holds_entries(infra: Mapping[str, str], server: Any) -> None:
    server.xadd(STREAM, FIELDS)
    async with open_redis(infra["REDIS_URL"], 5, 4) as redis:
        consumer = consumer_of(infra, redis)
        entries = await consumer.read({STREAM: NEW})
        await consumer.leave([STREAM])
        assert server.xpending(STREAM, GROUP)["pending"] == 1
        await consumer.confirm(entries)
        await consumer.leave([STREAM])
    assert server.xinfo_consumers(STREAM, GROUP) == []
