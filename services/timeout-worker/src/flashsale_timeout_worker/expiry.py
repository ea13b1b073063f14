"""Asking Redis to expire orders. The script decides; a hold that is not due, or no hold any more, stays as it is."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from flashsale_core.errors import Rejected, Retryable
from flashsale_core.faults import Server, in_words
from flashsale_core.keys import sale_keys, shard_keys, shard_of, split_deadline_member
from flashsale_core.scripts import Scripts, call, load_scripts, pack
from flashsale_redis import now_ms
from flashsale_timeout_worker import metrics

CHUNK = 512
"""Most orders in one script call."""
# How an error begins that speaks of one sale's data or of the script, not of the server: asking again gives the same answer.
# A full or read-only server begins with another word, inside a script too.
_OF_THE_SALE = ("INVARIANT", "WRONGTYPE", "user_script")


@dataclass(frozen=True, slots=True)
class Expired:
    order_id: str
    quantity: int
    lateness_ms: int
    traceparent: str = ""


class Expiry:
    def __init__(self, redis: Redis, scripts: Scripts, shards: int, timeout_seconds: float, retry_seconds: float) -> None:
        self._redis = redis
        self._scripts = scripts
        self._shards = shards
        self._timeout_seconds = timeout_seconds
        self._retry_seconds = retry_seconds

    async def expire(self, sale_id: str, order_ids: Sequence[str], source: str) -> list[Expired]:
        """Expire what is due among `order_ids` and return it; repeating it is harmless.

        Raises Retryable when Redis is away, Rejected when this sale's data is broken.
        """
        expired: list[Expired] = []
        for start in range(0, len(order_ids), CHUNK):
            expired += await self._expire_chunk(sale_id, order_ids[start : start + CHUNK])
        measure(expired, source)
        return expired

    async def overdue(self, shard: int, grace_ms: int, limit: int, skip: int = 0) -> dict[str, list[str]]:
        """Up to `limit` orders of a shard, after the first `skip`, whose deadline is more than `grace_ms` ago by Redis' clock, by sale.

        Raises Retryable.
        """
        deadlines = shard_keys(shard).deadlines
        latest = await self._ask(now_ms(self._redis, deadlines)) - grace_ms
        members = await self._ask(self._redis.zrangebyscore(deadlines, "-inf", latest, start=skip, num=limit))
        return by_sale(member.decode() for member in members)

    async def ping(self) -> None:
        """Raises Retryable unless Redis answers; makes it know the scripts."""
        await self._ask(load_scripts(self._redis, self._scripts))

    async def _expire_chunk(self, sale_id: str, order_ids: Sequence[str]) -> list[Expired]:
        sale, shard = sale_keys(sale_id, self._shards), shard_keys(shard_of(sale_id, self._shards))
        keys = (sale.sale, sale.orders, sale.buyers, shard.deadlines, shard.outbox)
        now_ms, results = await self._ask(call(self._redis, self._scripts.expire, keys, sale_id, pack(list(order_ids)), ""))
        return [
            Expired(order_id, int(quantity), int(now_ms - deadline_ms), *context)
            for order_id, (result, quantity, deadline_ms, *context) in zip(order_ids, results, strict=True)
            if result == "expired"
        ]

    async def _ask(self, awaitable: Any) -> Any:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await awaitable
        except (RedisError, OSError, TimeoutError) as error:
            if isinstance(error, ResponseError) and str(error).startswith(_OF_THE_SALE):
                raise Rejected(f"Redis: {error}") from error
            raise Retryable(in_words(Server.REDIS, error), self._retry_seconds) from error


def by_sale(members: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for member in members:
        sale_id, order_id = split_deadline_member(member)
        found.setdefault(sale_id, []).append(order_id)
    return found


def measure(expired: Sequence[Expired], source: str) -> None:
    metrics.EXPIRED_ORDERS.labels(source).inc(len(expired))
    metrics.EXPIRED_UNITS.labels(source).inc(sum(one.quantity for one in expired))
    for one in expired:
        metrics.LATENESS_SECONDS.observe(max(0, one.lateness_ms) / 1000)
