"""Reads what Redis still has of a shard. A page at a time; nothing is written."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from flashsale_core.keys import SaleKeys, sale_keys, shard_keys
from flashsale_core.records import OrderRecord, unpack_record

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
            units += _units(counts)
            if cursor == 0:
                return units

    async def deadline_count(self, shard: int) -> int:
        return int(await self._redis.zcard(shard_keys(shard).deadlines))

    async def sale_ids(self, shard: int) -> set[str]:
        return {name.decode() for name in await self._redis.smembers(shard_keys(shard).sales)}

    async def hashes(self, sale_ids: Sequence[str]) -> dict[str, Mapping[bytes, bytes]]:
        """The hashes of those sales that have one."""
        answers = await self._of_each(sale_ids, "HGETALL", lambda keys: keys.sale)
        return {sale_id: fields for sale_id, fields in answers.items() if fields}

    async def order_counts(self, sale_ids: Sequence[str]) -> dict[str, int]:
        return await self._of_each(sale_ids, "HLEN", lambda keys: keys.orders)

    async def orders_of(self, sale_ids: Sequence[str]) -> dict[str, Records]:
        """All orders of small sales at once, by sale."""
        answers = await self._of_each(sale_ids, "HGETALL", lambda keys: keys.orders)
        return {name: {order_id.decode(): unpack_record(packed) for order_id, packed in fields.items()} for name, fields in answers.items()}

    async def units_of(self, sale_ids: Sequence[str]) -> dict[str, int]:
        """The units of all buyers of small sales at once, by sale."""
        return {name: _units(counts) for name, counts in (await self._of_each(sale_ids, "HGETALL", lambda keys: keys.buyers)).items()}

    async def order_pages(self, sale_id: str) -> AsyncIterator[Records]:
        """All orders; Redis may return an order twice while it resizes the hash. Raises ValueError if a record cannot be read."""
        key, cursor = sale_keys(sale_id, self._shard_count).orders, 0
        while True:
            cursor, fields = await self._redis.hscan(key, cursor, count=PAGE)
            if fields:
                yield {order_id.decode(): unpack_record(packed) for order_id, packed in fields.items()}
            if cursor == 0:
                return

    async def orders(self, sale_id: str, order_ids: Sequence[str]) -> Records:
        """The named orders that Redis has."""
        packed = await self._redis.hmget(sale_keys(sale_id, self._shard_count).orders, list(order_ids))
        return {order_id: unpack_record(record) for order_id, record in zip(order_ids, packed, strict=True) if record is not None}

    async def _of_each(self, sale_ids: Sequence[str], command: str, key_of: Callable[[SaleKeys], str]) -> dict[str, Any]:
        """The answer to a command about one key of each sale, by sale."""
        answers: dict[str, Any] = {}
        for start in range(0, len(sale_ids), PAGE):
            page = sale_ids[start : start + PAGE]
            async with self._redis.pipeline(transaction=False) as pipe:
                for sale_id in page:
                    pipe.execute_command(command, key_of(sale_keys(sale_id, self._shard_count)))
                answers |= zip(page, await pipe.execute(), strict=True)
        return answers


def decoded(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode(errors="replace") for name, value in fields.items()}


def _units(counts: Mapping[bytes, bytes]) -> int:
    """Fields with '#' count released orders."""
    return sum(int(count) for user, count in counts.items() if not user.startswith(b"#"))
