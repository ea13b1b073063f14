"""What Redis has of sales and shards at this moment. Nothing is written, and every command has a limit."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from flashsale_console.settings import Settings
from flashsale_core.errors import Retryable
from flashsale_core.faults import Server, describe_error
from flashsale_core.fence import OPEN, Fence, read_fence
from flashsale_core.keys import sale_keys, shard_keys, shard_of
from flashsale_core.records import OrderRecord, sale_fields, unpack_record
from flashsale_redis import history_near, is_cluster, now_ms, open_redis

Fields = Mapping[str, str]


class ShardLook(NamedTuple):
    shard: int
    fence: Fence
    outbox_age_ms: int
    """The age of the oldest entry that the broker has not confirmed; 0 without one."""


class SaleLook(NamedTuple):
    fields: Fields
    """Empty if Redis does not have the sale."""
    is_open: bool
    """Whether its shard may be written. If not, Redis is being recovered: the fields may be older than what was sold, or missing."""


class LiveSales:
    def __init__(self, settings: Settings) -> None:
        self._redis: Redis = open_redis(settings.redis_url, settings.redis_timeout_seconds, settings.connections_max)
        self._shards = settings.shards
        self._timeout_seconds = settings.redis_timeout_seconds

    async def sales(self, sale_ids: Sequence[str]) -> list[SaleLook]:
        """Each sale as Redis has it. Raises Retryable, as everything here does."""
        shards = [self.shard_of(sale_id) for sale_id in sale_ids]
        # The fences before the sales: a shard that is open had this history when its sales were read.
        fences = await self._fences(sorted(set(shards)))
        hashes = await self._pipelined([("HGETALL", sale_keys(sale_id, self._shards).sale) for sale_id in sale_ids])
        return [SaleLook(sale_fields(fields), fences[shard].state == OPEN) for shard, fields in zip(shards, hashes, strict=True)]

    async def sale(self, sale_id: str) -> SaleLook:
        (look,) = await self.sales([sale_id])
        return look

    async def order(self, sale_id: str, order_id: str) -> OrderRecord | None:
        (packed,) = await self._pipelined([("HGET", sale_keys(sale_id, self._shards).orders, order_id)])
        return unpack_record(packed) if packed else None

    async def shards(self) -> list[ShardLook]:
        keys = [shard_keys(shard) for shard in range(self._shards)]
        fences = await self._fences(range(self._shards))
        heads = await self._pipelined([("XRANGE", stream, "-", "+", "COUNT", 1) for key in keys for stream in (key.outbox, key.direct)])
        now = await self._within(now_ms(self._redis, keys[0].fence))
        ages = [max((now - _written_ms(head) for head in heads[2 * at : 2 * at + 2] if head), default=0) for at in range(self._shards)]
        return [ShardLook(at, fences[at], max(0, age)) for at, age in enumerate(ages)]

    def shard_of(self, sale_id: str) -> int:
        return shard_of(sale_id, self._shards)

    async def ping(self) -> None:
        await self._pipelined([("HLEN", shard_keys(0).fence)])

    async def close(self) -> None:
        await self._redis.aclose()

    async def _fences(self, shards: Sequence[int]) -> dict[int, Fence]:
        """The fence of each shard; an open one that is of another history than its server has the state `history`, as for the scripts."""
        keys = [shard_keys(shard).fence for shard in shards]
        fences = map(read_fence, await self._pipelined([("HGETALL", key) for key in keys]))
        asked = keys if is_cluster(self._redis) else keys[:1]
        histories = [await self._within(self._history(key)) for key in asked]
        return {
            shard: replace(fence, state="history") if _is_of_another(fence, history) else fence
            # A single server has all shards.
            for shard, fence, history in zip(shards, fences, cycle(histories))
        }

    async def _history(self, near: str) -> str:
        """Empty where INFO is refused."""
        try:
            return await history_near(self._redis, near)
        except ResponseError:
            return ""

    async def _pipelined(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        async def execute() -> list[Any]:
            async with self._redis.pipeline(transaction=False) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                return list(await pipe.execute())

        return await self._within(execute()) if commands else []

    async def _within(self, work: Any) -> Any:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await work
        except (RedisError, OSError, TimeoutError) as error:
            raise Retryable(describe_error(Server.REDIS, error), 1) from error


def _is_of_another(fence: Fence, history: str) -> bool:
    """Whether Redis restarted or failed over since the fence was opened. Nobody knows where INFO is refused."""
    return fence.state == OPEN and "" not in (fence.replid, history) and fence.replid != history


def _written_ms(entries: Sequence[Any]) -> int:
    """When the first of the entries was written, by Redis' clock."""
    entry_id, flat = entries[0]
    fields = dict(zip(flat[::2], flat[1::2], strict=True)) if isinstance(flat, list) else flat
    return int(fields.get(b"t") or entry_id.split(b"-")[0])
