"""Reads what Redis still has of a shard. A page at a time; nothing is written."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from flashsale_core.keys import sale_keys, shard_keys
from flashsale_core.records import OrderRecord, stale_terms, unpack_record

PAGE = 1000
Records = dict[str, OrderRecord]


class Surviving:
    def __init__(self, redis: Redis, shard_count: int) -> None:
        self._redis: Any = redis
        self._shard_count = shard_count

    async def units_of_buyers(self, sale_id: str) -> int:
        """The units of all buyers together."""
        key, cursor, units = sale_keys(sale_id, self._shard_count).buyers, 0, 0
        while True:
            cursor, counts = await self._redis.hscan(key, cursor, count=PAGE)
            units += sum(int(count) for user, count in counts.items() if not user.startswith(b"#"))
            if cursor == 0:
                return units

    async def deadline_count(self, shard: int) -> int:
        return int(await self._redis.zcard(shard_keys(shard).deadlines))

    async def terms_are_stale(self, sale_id: str) -> bool:
        """Whether the packed terms of a sale are missing or differ from its fields."""
        fields = await self._redis.hgetall(sale_keys(sale_id, self._shard_count).sale)
        return b"terms" not in fields or bool(stale_terms(fields))

    async def sale_ids(self, shard: int) -> set[str]:
        return {name.decode() for name in await self._redis.smembers(shard_keys(shard).sales)}

    async def fields(self, sale_ids: Sequence[str]) -> dict[str, Mapping[str, str]]:
        """The hashes of those sales that have one."""
        fields: dict[str, Mapping[str, str]] = {}
        for start in range(0, len(sale_ids), PAGE):
            page = sale_ids[start : start + PAGE]
            async with self._redis.pipeline(transaction=False) as pipe:
                for sale_id in page:
                    pipe.hgetall(sale_keys(sale_id, self._shard_count).sale)
                for sale_id, packed in zip(page, await pipe.execute(), strict=True):
                    if packed:
                        fields[sale_id] = {name.decode(): value.decode(errors="replace") for name, value in packed.items()}
        return fields

    async def order_counts(self, sale_ids: Sequence[str]) -> dict[str, int]:
        counts: dict[str, int] = {}
        for start in range(0, len(sale_ids), PAGE):
            page = sale_ids[start : start + PAGE]
            async with self._redis.pipeline(transaction=False) as pipe:
                for sale_id in page:
                    pipe.hlen(sale_keys(sale_id, self._shard_count).orders)
                counts |= dict(zip(page, await pipe.execute(), strict=True))
        return counts

    async def order_pages(self, sale_id: str) -> AsyncIterator[Records]:
        """All orders; Redis may return an order twice while it resizes the hash. Raises ValueError if a record cannot be read."""
        key, cursor = sale_keys(sale_id, self._shard_count).orders, 0
        while True:
            cursor, fields = await self._redis.hscan(key, cursor, count=PAGE)
            if fields:
                yield {order_id.decode(): unpack_record(packed) for order_id, packed in fields.items()}
            if cursor == 0:
                return

    async def orders_of(self, sale_ids: Sequence[str]) -> dict[str, Records]:
        """All orders of small sales at once, by sale."""
        if not sale_ids:
            return {}
        async with self._redis.pipeline(transaction=False) as pipe:
            for sale_id in sale_ids:
                pipe.hgetall(sale_keys(sale_id, self._shard_count).orders)
            answers = await pipe.execute()
        return {
            sale_id: {order_id.decode(): unpack_record(packed) for order_id, packed in fields.items()}
            for sale_id, fields in zip(sale_ids, answers, strict=True)
        }

    async def orders(self, sale_id: str, order_ids: Sequence[str]) -> Records:
        """The named orders that Redis has."""
        packed = await self._redis.hmget(sale_keys(sale_id, self._shard_count).orders, list(order_ids))
        return {order_id: unpack_record(record) for order_id, record in zip(order_ids, packed, strict=True) if record is not None}
