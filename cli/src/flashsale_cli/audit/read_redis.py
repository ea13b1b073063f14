"""Reads Redis page by page, so that memory does not grow with the sale."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from flashsale_cli.audit.facts import Counters
from flashsale_core.keys import deadline_member, sale_keys, shard_keys, shard_of, split_deadline_member
from flashsale_core.records import OrderRecord, is_tombstone, stale_terms, unpack_record

PAGE = 2000


@dataclass(frozen=True, slots=True)
class Page:
    records: Mapping[str, OrderRecord]
    unreadable: Sequence[str] = ()


class RedisReader:
    def __init__(self, redis: Redis, shards: int) -> None:
        """`redis` must return bytes."""
        # Its type stubs cover both bytes and text; this reader uses bytes.
        self._redis: Any = redis
        self._shards = shards

    async def now_ms(self) -> int:
        seconds, micros = await self._redis.time()
        return int(seconds) * 1000 + int(micros) // 1000

    async def sale_ids(self) -> list[str]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for shard in range(self._shards):
                pipe.smembers(shard_keys(shard).sales)
            by_shard = await pipe.execute()
        return sorted(name.decode() for members in by_shard for name in members)

    async def outbox_lengths(self) -> dict[str, int]:
        keys = map(shard_keys, range(self._shards))
        streams = [stream for shard in keys for stream in (shard.outbox, shard.direct)]
        async with self._redis.pipeline(transaction=False) as pipe:
            for stream in streams:
                pipe.xlen(stream)
            return dict(zip(streams, await pipe.execute(), strict=True))

    async def counters(self, sale_id: str) -> Counters | None:
        fields = await self._redis.hgetall(sale_keys(sale_id, self._shards).sale)
        if not fields or is_tombstone(fields):
            return None
        numbers = {name: int(fields[name.encode()]) for name in ("epoch", "total", "available", "reserved", "sold")}
        return Counters(sale_id=sale_id, state=fields[b"state"].decode(), stale_terms=stale_terms(fields), **numbers)

    async def order_count(self, sale_id: str) -> int:
        return int(await self._redis.hlen(sale_keys(sale_id, self._shards).orders))

    async def order_pages(self, sale_id: str) -> AsyncIterator[Page]:
        """All orders, each at least once; Redis may return an order twice while it resizes the hash."""
        async for fields in self._scan_hash(sale_keys(sale_id, self._shards).orders):
            yield _page(fields)

    async def orders(self, sale_id: str, order_ids: Sequence[str]) -> dict[str, OrderRecord]:
        """The named orders that are in Redis and readable."""
        if not order_ids:
            return {}
        packed = await self._redis.hmget(sale_keys(sale_id, self._shards).orders, list(order_ids))
        fields = {order_id.encode(): record for order_id, record in zip(order_ids, packed, strict=True) if record is not None}
        return dict(_page(fields).records)

    async def deadlines(self, sale_id: str, order_ids: Iterable[str]) -> dict[str, int]:
        """The deadlines of the named orders, in Unix milliseconds."""
        ids = list(order_ids)
        if not ids:
            return {}
        scores = await self._redis.zmscore(self._deadlines(sale_id), [deadline_member(sale_id, order_id) for order_id in ids])
        return {order_id: int(score) for order_id, score in zip(ids, scores, strict=True) if score is not None}

    async def deadline_pages(self, sale_ids: Iterable[str]) -> AsyncIterator[dict[str, dict[str, int]]]:
        """All deadlines of the sales, by sale and order. Each shard is read once, whatever the number of its sales."""
        wanted = set(sale_ids)
        for key in sorted({self._deadlines(sale_id) for sale_id in wanted}):
            cursor = 0
            while True:
                cursor, members = await self._redis.zscan(key, cursor, count=PAGE)
                page: dict[str, dict[str, int]] = {}
                for member, score in members:
                    sale_id, order_id = split_deadline_member(member.decode())
                    if sale_id in wanted:
                        page.setdefault(sale_id, {})[order_id] = int(score)
                yield page
                if cursor == 0:
                    break

    async def buyer_count(self, sale_id: str) -> int:
        return int(await self._redis.hlen(sale_keys(sale_id, self._shards).buyers))

    async def buyer_pages(self, sale_id: str) -> AsyncIterator[dict[str, int]]:
        async for fields in self._scan_hash(sale_keys(sale_id, self._shards).buyers):
            # The field '#<user>' counts the released orders of the buyer.
            yield {user.decode(): int(units) for user, units in fields.items() if not user.startswith(b"#")}

    def _deadlines(self, sale_id: str) -> str:
        return shard_keys(shard_of(sale_id, self._shards)).deadlines

    async def _scan_hash(self, key: str) -> AsyncIterator[Mapping[bytes, bytes]]:
        cursor = 0
        while True:
            cursor, fields = await self._redis.hscan(key, cursor, count=PAGE)
            yield fields
            if cursor == 0:
                return


def _page(fields: Mapping[bytes, bytes]) -> Page:
    records, unreadable = {}, []
    for name, packed in fields.items():
        try:
            records[name.decode()] = unpack_record(packed)
        except (ValueError, KeyError, TypeError):
            unreadable.append(name.decode())
    return Page(records, unreadable)
