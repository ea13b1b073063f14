"""Finished sales leave Redis: closed or ended for longer than the retention time, with no live hold. The script decides, sale by sale.

Only sales of /admin, and those that their owner let go of. A FlashSale's sale leaves with its resource: removed under it, it would be
reported as lost.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from flashsale_core.faults import Server, describe_error
from flashsale_core.keys import define_keys, shard_keys
from flashsale_core.scripts import Script, call
from flashsale_timeout_worker import metrics

OWNER = "admin"
PASS_INTERVAL_SECONDS = 60.0
PAGE = 64
"""About as many sales of each shard are looked at in one pass; the next pass goes on behind them."""
T = TypeVar("T")
log = logging.getLogger(__name__)


class Retention:
    def __init__(self, redis: Redis, retire: Script, shards: int, retention_seconds: int, timeout_seconds: float) -> None:
        self._redis = redis
        self._retire = retire
        self._shards = shards
        self._retention_ms = retention_seconds * 1000
        self._timeout_seconds = timeout_seconds
        self._cursors = dict.fromkeys(range(shards), 0)

    async def run(self) -> None:
        """Pass after pass until cancelled, the first at a random moment of the interval."""
        await asyncio.sleep(random.uniform(0, PASS_INTERVAL_SECONDS))  # noqa: S311 - spreads load, keeps no secret
        while True:
            await self.remove_finished()
            await asyncio.sleep(PASS_INTERVAL_SECONDS)

    async def remove_finished(self) -> list[str]:
        """One pass; returns the sales that it removed. What Redis refuses is logged, and a later pass tries again."""
        removed: list[str] = []
        for shard in range(self._shards):
            try:
                removed += await self._remove_of_shard(shard)
            except (RedisError, OSError, TimeoutError) as error:
                # On a cluster the next shard may be another master's.
                log.warning("retention.interrupted", extra={"shard": shard, "reason": describe_error(Server.REDIS, error)})
        return removed

    async def _remove_of_shard(self, shard: int) -> list[str]:
        cursor, names = await self._in_time(self._redis.sscan(shard_keys(shard).sales, self._cursors[shard], count=PAGE))
        removed = await self._remove_among([name.decode() for name in names])
        self._cursors[shard] = int(cursor)
        return removed

    async def _remove_among(self, sale_ids: Sequence[str]) -> list[str]:
        return [sale_id for sale_id in sale_ids if await self._is_removed(sale_id)]

    async def _is_removed(self, sale_id: str) -> bool:
        """Whether this call removed the sale. One whose data is broken stays, and is named."""
        keys, retention = define_keys(sale_id, self._shards), str(self._retention_ms)
        try:
            _, status, _ = await self._in_time(call(self._redis, self._retire, keys, sale_id, "prune", OWNER, "", retention))
        except ResponseError as error:
            log.error("retention.refused", extra={"sale_id": sale_id, "reason": str(error)})
            return False
        if status != "removed":
            return False
        metrics.REMOVED_SALES.inc()
        log.info("sale.removed", extra={"sale_id": sale_id})
        return True

    async def _in_time(self, awaitable: Awaitable[T]) -> Any:
        async with asyncio.timeout(self._timeout_seconds):
            return await awaitable
