"""Reads sales from Redis with the least rights: hashes, INFO and the clock.

A sale is shown only if its shard may be written, by the rule of lua/lib/fence.lua. Otherwise its numbers may be those of an older Redis.
"""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

from flashsale_core.errors import Retryable
from flashsale_core.fence import OPEN, Fence, foreign_reason, read_fence
from flashsale_core.keys import sale_keys, shard_keys, shard_of
from flashsale_core.records import sale_fields
from flashsale_redis import history_near, is_cluster, now_ms, refuse_replica

CHUNK_SIZE = 100
"""Sales read in one round trip, which takes some milliseconds of the event loop."""


class Reading(NamedTuple):
    now_ms: int
    """By Redis' clock, when the event loop's clock showed `at` seconds."""
    at: float
    fields: Mapping[str, Mapping[str, str] | None]
    """By sale; empty if there is no such sale, None if its shard is not open, so that nothing is known."""


class Source:
    def __init__(self, redis: Redis, installation: str, shards: int, timeout_seconds: float) -> None:
        self._redis = redis
        self._installation = installation
        self._shards = shards
        self._timeout_seconds = timeout_seconds

    async def read(self, sale_ids: Sequence[str]) -> Reading:
        """Raises Retryable if Redis does not answer all of it in time."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await refuse_replica(self._redis)
                return await self._read(sale_ids)
        except (RedisError, OSError, TimeoutError, ValueError) as error:
            raise Retryable(f"Redis cannot be read: {error or type(error).__name__}") from error

    async def _read(self, sale_ids: Sequence[str]) -> Reading:
        shards = sorted({shard_of(sale_id, self._shards) for sale_id in sale_ids}) or [0]
        now = await now_ms(self._redis, shard_keys(shards[0]).fence)
        at = asyncio.get_running_loop().time()
        # The fences before the sales: a shard that was open then had this history when its sales were read, or the read fails.
        open_shards = await self._open_shards(shards)
        known = [sale_id for sale_id in sale_ids if shard_of(sale_id, self._shards) in open_shards]
        fields: dict[str, Mapping[str, str] | None] = dict.fromkeys(sale_ids)
        remaining = iter(known)
        while chunk := list(islice(remaining, CHUNK_SIZE)):
            hashes = await self._hashes([sale_keys(sale_id, self._shards).sale for sale_id in chunk])
            fields.update(zip(chunk, map(sale_fields, hashes), strict=True))
        return Reading(now, at, fields)

    async def _open_shards(self, shards: Sequence[int]) -> set[int]:
        fences = await self._hashes([shard_keys(shard).fence for shard in shards])
        if is_cluster(self._redis):
            histories = {shard: await history_near(self._redis, shard_keys(shard).fence) for shard in shards}
        else:
            histories = dict.fromkeys(shards, await history_near(self._redis, shard_keys(shards[0]).fence))
        return {shard for shard, fence in zip(shards, fences, strict=True) if self._is_open(read_fence(fence), histories[shard])}

    def _is_open(self, fence: Fence, history: str) -> bool:
        return fence.state == OPEN and fence.replid == history and foreign_reason(fence, self._installation, self._shards) is None

    async def _hashes(self, keys: Sequence[str]) -> Sequence[Mapping[bytes, bytes]]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.execute_command("HGETALL", key)
            return list(await pipe.execute())
