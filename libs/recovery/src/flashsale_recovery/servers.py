"""Looks at Redis: which servers hold which shards, with their fences and what gateways attested."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from flashsale_core.faults import Server, describe_error
from flashsale_core.fence import Attestation, Fence, read_attestations, read_fence
from flashsale_core.keys import shard_keys
from flashsale_recovery.facts import ServerView
from flashsale_redis import is_wrong_server
from flashsale_redis.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of all shards."""

    servers: Sequence[ServerView]
    away: Mapping[int, str] = field(default_factory=dict)
    """Shards whose server does not answer, or is no master, with the reason."""


@dataclass(frozen=True, slots=True)
class _Shard:
    replid: str
    may_run_info: bool
    gateways: Mapping[str, Attestation]
    fence: Fence


async def look(redis: Redis, shards: Sequence[int], timeout_seconds: float) -> Look:
    """Raises nothing: a server that does not answer is part of the answer."""
    if isinstance(redis, Cluster):
        # A limit for each shard: one master that hangs must not hide the others.
        return _look(dict(zip(shards, await _read_cluster(redis, shards, timeout_seconds), strict=True)))
    try:
        async with asyncio.timeout(timeout_seconds):
            answers = await _read_single(redis, shards)
    except (RedisError, OSError, TimeoutError) as error:
        answers = [error] * len(shards)
    return _look(dict(zip(shards, answers, strict=True)))


def _look(answers: Mapping[int, "_Shard | Exception"]) -> Look:
    """Shards with one replication id are on one server: the id is random and belongs to one history of one server."""
    servers: dict[str, dict[int, _Shard]] = {}
    away = {}
    for shard, answer in answers.items():
        if isinstance(answer, Exception):
            away[shard] = describe_error(Server.REDIS, answer)
        else:
            servers.setdefault(answer.replid, {})[shard] = answer
    return Look([_view(replid, shards) for replid, shards in servers.items()], away)


def _view(replid: str, shards: Mapping[int, _Shard]) -> ServerView:
    return ServerView(
        replid,
        {shard: answer.fence for shard, answer in shards.items()},
        {shard: answer.gateways for shard, answer in shards.items()},
        all(answer.may_run_info for answer in shards.values()),
    )


async def _read_single(redis: Redis, shards: Sequence[int]) -> "list[_Shard | Exception]":
    async with redis.pipeline(transaction=False) as pipe:
        pipe.info("replication")
        for shard in shards:
            # Gateways first: what they attest is then no younger than the fence.
            pipe.hgetall(shard_keys(shard).gateways)
            pipe.hgetall(shard_keys(shard).fence)
        info, *hashes = await pipe.execute(raise_on_error=False)
    replid = _replid(info)
    if isinstance(replid, Exception):
        return [replid] * len(shards)
    may_run_info = not isinstance(info, NoPermissionError)
    return [_shard(replid, gateways, fence, may_run_info=may_run_info) for gateways, fence in zip(hashes[::2], hashes[1::2], strict=True)]


async def _read_cluster(redis: Cluster, shards: Sequence[int], timeout_seconds: float) -> "list[_Shard | Exception]":
    return list(await asyncio.gather(*[_read_of_cluster(redis, shard, timeout_seconds) for shard in shards]))


async def _read_of_cluster(redis: Cluster, shard: int, timeout_seconds: float) -> "_Shard | Exception":
    keys = shard_keys(shard)
    try:
        async with asyncio.timeout(timeout_seconds):
            before = _replid(await _info_of_cluster(redis, keys.fence))
            gateways, fence = await redis.hgetall(keys.gateways), await redis.hgetall(keys.fence)
            info = await _info_of_cluster(redis, keys.fence)
    except (RedisError, OSError, TimeoutError) as error:
        return error
    after = _replid(info)
    if isinstance(after, Exception):
        return after
    # Another server may have been promoted between the answers, which then would not belong together.
    if before != after:
        return ConnectionError("another server was promoted")
    return _shard(after, gateways, fence, may_run_info=not isinstance(info, NoPermissionError))


async def _info_of_cluster(redis: Cluster, key: str) -> Any:
    try:
        return await redis.at(key, "INFO", "replication")
    except NoPermissionError as error:
        return error


def _replid(info: Any) -> "str | Exception":
    """The replication id in an answer to INFO; empty where INFO is forbidden, to us or to everybody."""
    if isinstance(info, ResponseError) and not is_wrong_server(info):
        return ""
    if isinstance(info, Exception):
        return info
    if info.get("role") not in (None, "master"):
        return ConnectionError("the server is a replica")
    return str(info.get("master_replid", ""))


def _shard(replid: str, gateways: Any, fence: Any, *, may_run_info: bool) -> "_Shard | Exception":
    for answer in (gateways, fence):
        if isinstance(answer, Exception):
            return answer
    try:
        return _Shard(replid, may_run_info, read_attestations(gateways), read_fence(fence))
    except ValueError as error:
        return ValueError(f"its fence cannot be read: {error}")
