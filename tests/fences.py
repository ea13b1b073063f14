"""Fences for tests that run without a keeper: they empty or restart Redis, and open its fences themselves."""

from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from flashsale_core.fence import Fence
from flashsale_core.keys import SHARDS_DEFAULT, shard_keys
from flashsale_core.scripts import pack, read_scripts
from flashsale_gateway.history import History
from flashsale_redis.fences import open_fences

SCRIPTS = read_scripts(Path(__file__).parents[1] / "lua")


def open_now(client: Any, seq: int = 0) -> None:
    """Open the fence of every shard for the history that the servers of a synchronous client have now, at `seq` or later."""
    for shard in range(SHARDS_DEFAULT):
        key = shard_keys(shard).fence
        incarnation = client.hget(key, "incarnation") or b""
        fields = pack({"state": "open", "incarnation": int(incarnation or 1), "seq": seq})
        client.eval(SCRIPTS.seal.source, 1, key, incarnation, "", fields, "1", "")


def empty(client: Any) -> None:
    """Delete everything, and open the fences as in a new installation."""
    client.flushall()
    open_now(client)


async def empty_redis(redis: "Redis") -> None:
    """As `empty`, for our own client."""
    await redis.flushall()
    await open_fences(redis, SCRIPTS)


def open_history(shards: int = SHARDS_DEFAULT) -> History:
    """What a gateway knows that has seen every shard open."""
    history = History(shards, "")
    for shard in range(shards):
        history.observe(shard, "open")
    history.check(Fence())
    return history
