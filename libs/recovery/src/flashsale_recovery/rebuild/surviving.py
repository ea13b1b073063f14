"""Reads what Redis still has of a shard. A page at a time; nothing is written.

What cannot be read is left out: a record, or a key that has another type than the scripts write. `inspection` finds it.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from flashsale_core.keys import SaleKeys, sale_keys, shard_keys, split_deadline_member
from flashsale_core.records import OrderRecord
from flashsale_recovery.rebuild.damage import read_record
from flashsale_recovery.rebuild.report import Quarantined

PAGE = 1000
Records = dict[str, OrderRecord]
Fields = Mapping[bytes, bytes]


class Surviving:
    def __init__(self, redis: Redis, shard_count: int) -> None:
        self._redis: Any = redis
        self._shard_count = shard_count
        self._wrong_types: dict[str, set[str]] = {}

    def wrong_types(self, sale_id: str) -> tuple[str, ...]:
        """Which of the sale's keys were asked for, and had a wrong type."""
        return tuple(sorted(self._wrong_types.get(sale_id, ())))

    async def deadline_count(self, shard: int) -> int:
        return int(await self._redis.zcard(shard_keys(shard).deadlines))

    async def sale_ids(self, shard: int) -> set[str]:
        return {name.decode() for name in await self._redis.smembers(shard_keys(shard).sales)}

    async def quarantined(self, shard: int) -> dict[str, list[Quarantined]]:
        """What earlier rebuilds could not read, by sale."""
        by_sale: dict[str, dict[str, Quarantined]] = {}
        async for fields in self._scan(shard_keys(shard).quarantine):
            for name in (each.decode(errors="replace") for each in fields):
                sale_id, rest = split_deadline_member(name)
                order_id, _, epoch = rest.partition("|")
                by_sale.setdefault(sale_id, {})[name] = Quarantined(name, order_id, int(epoch) if epoch.isdigit() else None)
        return {sale_id: list(records.values()) for sale_id, records in by_sale.items()}

    async def hashes(self, sale_ids: Sequence[str]) -> dict[str, Fields]:
        """The hashes of those sales that have one."""
        answers = await self._of_each(sale_ids, "HGETALL", "sale", lambda keys: keys.sale)
        return {sale_id: fields for sale_id, fields in answers.items() if fields}

    async def order_counts(self, sale_ids: Sequence[str]) -> dict[str, int]:
        return {name: count or 0 for name, count in (await self._of_each(sale_ids, "HLEN", "orders", lambda keys: keys.orders)).items()}

    async def orders_of(self, sale_ids: Sequence[str]) -> dict[str, Records]:
        """All orders of small sales at once, by sale."""
        return {name: _records(fields) for name, fields in (await self.packed_orders_of(sale_ids)).items()}

    async def packed_orders_of(self, sale_ids: Sequence[str]) -> dict[str, Fields]:
        return await self._of_each(sale_ids, "HGETALL", "orders", lambda keys: keys.orders)

    async def buyers_of(self, sale_ids: Sequence[str]) -> dict[str, Fields]:
        """The counts of all buyers of small sales at once, by sale."""
        return await self._of_each(sale_ids, "HGETALL", "buyers", lambda keys: keys.buyers)

    async def order_pages(self, sale_id: str) -> AsyncIterator[Records]:
        """All orders; Redis may return an order twice while it resizes the hash."""
        async for fields in self.packed_pages(sale_id):
            if records := _records(fields):
                yield records

    def packed_pages(self, sale_id: str) -> AsyncIterator[Fields]:
        return self._scan(sale_keys(sale_id, self._shard_count).orders)

    def buyer_pages(self, sale_id: str) -> AsyncIterator[Fields]:
        return self._scan(sale_keys(sale_id, self._shard_count).buyers)

    async def orders(self, sale_id: str, order_ids: Sequence[str]) -> Records:
        """The named orders that Redis has."""
        packed = await self._redis.hmget(sale_keys(sale_id, self._shard_count).orders, list(order_ids))
        pairs = {order_id: read_record(record) for order_id, record in zip(order_ids, packed, strict=True) if record is not None}
        return {order_id: record for order_id, record in pairs.items() if record is not None}

    async def _scan(self, key: str) -> AsyncIterator[Fields]:
        """The hash of a key in pages, none if the key has another type."""
        cursor: Any = 0
        while True:
            try:
                cursor, fields = await self._redis.hscan(key, cursor, count=PAGE)
            except ResponseError as error:
                if not _is_wrong_type(error):
                    raise
                return
            if fields:
                yield fields
            if cursor == 0:
                return

    async def _of_each(self, sale_ids: Sequence[str], command: str, name: str, key_of: Callable[[SaleKeys], str]) -> dict[str, Any]:
        """The answer to a command about one key of each sale, by sale; empty if the key has a wrong type, which is noted by its name."""
        answers: dict[str, Any] = {}
        for start in range(0, len(sale_ids), PAGE):
            page = sale_ids[start : start + PAGE]
            async with self._redis.pipeline(transaction=False) as pipe:
                for sale_id in page:
                    pipe.execute_command(command, key_of(sale_keys(sale_id, self._shard_count)))
                answers |= zip(page, await pipe.execute(raise_on_error=False), strict=True)
        for sale_id, answer in answers.items():
            if isinstance(answer, RedisError):
                if not _is_wrong_type(answer):
                    raise answer
                self._wrong_types.setdefault(sale_id, set()).add(name)
                answers[sale_id] = {}
        return answers


def decoded(fields: Fields) -> dict[str, str]:
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in fields.items()}


def _records(fields: Fields) -> Records:
    pairs = {order_id.decode(errors="replace"): read_record(packed) for order_id, packed in fields.items() if order_id.isascii()}
    return {order_id: record for order_id, record in pairs.items() if record is not None}


def _is_wrong_type(error: RedisError) -> bool:
    return str(error).startswith("WRONGTYPE")
