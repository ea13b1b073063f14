"""Reads fences and changes them. Only recovery, tests and benchmarks change one."""

from collections.abc import Iterable, Mapping
from typing import Any

from redis.asyncio import Redis

from flashsale_core.errors import Retryable
from flashsale_core.fence import OPEN, Fence, foreign_reason
from flashsale_core.fence import read_fence as fence_of
from flashsale_core.keys import SHARDS_DEFAULT, shard_keys
from flashsale_core.scripts import Scripts, call, pack


async def read_fence(redis: Redis, shard: int) -> Fence:
    """Raises RedisError, OSError and TimeoutError; ValueError if the fence cannot be read."""
    fields: Any = await redis.hgetall(shard_keys(shard).fence)
    return fence_of(fields)


async def refuse_other_installation(redis: Redis, installation: str, shards: int) -> bool:
    """Raises Retryable if Redis belongs to another installation, and as `read_fence` does. Returns False if it has no fence yet."""
    fence = await read_fence(redis, 0)
    if (reason := foreign_reason(fence, installation, shards)) is not None:
        raise Retryable(reason)
    return not fence.is_missing


async def seal(
    redis: Redis,
    scripts: Scripts,
    shard: int,
    read: Fence,
    fields: Mapping[str, str | int],
    *,
    accept_history: bool = False,
    only_history: str = "",
    attempt: str = "",
) -> Fence | None:
    """Set fields of a fence; returns it as it is now, or None if its incarnation or state is no longer that of `read`.

    With an `attempt`, None is returned as well if another attempt at the recovery has begun.
    With `accept_history` the fence gets the replication id that the server has now; with `only_history` only if it is that one, and None
    is returned if it is another. Raises as a command does.
    """
    incarnation = str(read.incarnation) if read.incarnation else ""
    arguments = (incarnation, read.state, pack(dict(fields)), only_history or ("1" if accept_history else ""), "", attempt)
    _, status, flat = await call(redis, scripts.seal, (shard_keys(shard).fence,), *arguments)
    if status != "sealed":
        return None
    return fence_of({str(name).encode(): str(value).encode() for name, value in zip(flat[::2], flat[1::2], strict=True)})


async def open_fences(redis: Redis, scripts: Scripts, shards: Iterable[int] = range(SHARDS_DEFAULT)) -> None:
    """Open the fence of each shard for the history that its server has now: for tests and benchmarks without a keeper."""
    for shard in shards:
        read = await read_fence(redis, shard)
        fields: dict[str, str | int] = {"state": OPEN, "incarnation": max(read.incarnation, 1), "seq": read.seq}
        await seal(redis, scripts, shard, read, fields, accept_history=True)
