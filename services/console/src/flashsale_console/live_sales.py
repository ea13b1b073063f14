"""What Redis has of sales and shards at this moment. Nothing is written, and every command has a limit."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

from flashsale_console.settings import Settings
from flashsale_core.errors import Retryable
from flashsale_core.faults import Server, describe_error
from flashsale_core.fence import Fence, read_fence
from flashsale_core.keys import sale_keys, shard_keys, shard_of
from flashsale_core.records import OrderRecord, sale_fields, unpack_record
from flashsale_redis import now_ms, open_redis

Fields = Mapping[str, str]


class ShardLook(NamedTuple):
    shard: int
    fence: Fence
    outbox_age_ms: int
    """The age of the oldest entry that the broker has not confirmed; 0 without one."""


class LiveSales:
    def __init__(self, settings: Settings) -> None:
        self._redis: Redis = open_redis(settings.redis_url, settings.redis_timeout_seconds, settings.connections_max)
        self._shards = settings.shards
        self._timeout_seconds = settings.redis_timeout_seconds

    async def sales(self, sale_ids: Sequence[str]) -> list[Fields]:
        """The fields of each sale, empty for one that Redis does not have. Raises Retryable, as everything here does."""
        answers = await self._pipelined([("HGETALL", sale_keys(sale_id, self._shards).sale) for sale_id in sale_ids])
        return [sale_fields(answer) for answer in answers]

    async def sale(self, sale_id: str) -> Fields:
        (fields,) = await self.sales([sale_id])
        return fields

    async def order(self, sale_id: str, order_id: str) -> OrderRecord | None:
        (packed,) = await self._pipelined([("HGET", sale_keys(sale_id, self._shards).orders, order_id)])
        return unpack_record(packed) if packed else None

    async def shards(self) -> list[ShardLook]:
        keys = [shard_keys(shard) for shard in range(self._shards)]
        fences = await self._pipelined([("HGETALL", key.fence) for key in keys])
        heads = await self._pipelined([("XRANGE", stream, "-", "+", "COUNT", 1) for key in keys for stream in (key.outbox, key.direct)])
        now = await self._within(now_ms(self._redis, keys[0].fence))
        ages = [max((now - _written_ms(head) for head in heads[2 * at : 2 * at + 2] if head), default=0) for at in range(self._shards)]
        return [ShardLook(at, read_fence(fence), max(0, age)) for at, (fence, age) in enumerate(zip(fences, ages, strict=True))]

    def shard_of(self, sale_id: str) -> int:
        return shard_of(sale_id, self._shards)

    async def ping(self) -> None:
        await self._pipelined([("HLEN", shard_keys(0).fence)])

    async def close(self) -> None:
        await self._redis.aclose()

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


def _written_ms(entries: Sequence[Any]) -> int:
    """When the first of the entries was written, by Redis' clock."""
    entry_id, flat = entries[0]
    fields = dict(zip(flat[::2], flat[1::2], strict=True)) if isinstance(flat, list) else flat
    return int(fields.get(b"t") or entry_id.split(b"-")[0])
