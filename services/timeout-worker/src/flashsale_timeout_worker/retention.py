"""Removes finished sales from Redis: closed or ended for longer than the retention time, without a live hold. The script decides.

Only sales of /admin and sales without an owner are removed. A FlashSale's sale is removed with its resource: without the sale, the resource
would report lost data.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from flashsale_core.faults import Server, describe_error
from flashsale_core.fence import is_fenced
from flashsale_core.keys import define_keys, shard_keys
from flashsale_core.scripts import Script, call
from flashsale_timeout_worker import metrics

OWNER = "admin"
PASS_INTERVAL_SECONDS = 60.0
PAGE = 64
"""The approximate number of sales of each shard that one pass examines. The next pass continues behind them."""
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
        """Repeat passes until cancelled. The first starts at a random time of the interval."""
        await asyncio.sleep(random.uniform(0, PASS_INTERVAL_SECONDS))  # noqa: S311 - spreads load, keeps no secret
        while True:
            await self.remove_finished()
            await asyncio.sleep(PASS_INTERVAL_SECONDS)

    async def remove_finished(self) -> list[str]:
        """Make one pass; returns the sales that it removed. A failure of Redis is logged, and a later pass tries again."""
        removed: list[str] = []
        for shard in range(self._shards):
            try:
                removed += await self._remove_of_shard(shard)
            except (RedisError, OSError, TimeoutError) as error:
                # On a cluster, the next shard may belong to another master.
                log.warning("retention.interrupted", extra={"shard": shard, "reason": describe_error(Server.REDIS, error)})
        return removed

    async def _remove_of_shard(self, shard: int) -> list[str]:
        cursor, names = await self._with_timeout(self._redis.sscan(shard_keys(shard).sales, self._cursors[shard], count=PAGE))
        removed = await self._remove_among([name.decode() for name in names])
        self._cursors[shard] = int(cursor)
        return removed

    async def _remove_among(self, sale_ids: Sequence[str]) -> list[str]:
        return [sale_id for sale_id in sale_ids if await self._remove_if_finished(sale_id)]

    async def _remove_if_finished(self, sale_id: str) -> bool:
        """Returns whether this call removed the sale. A sale whose data is broken stays, and its error is logged."""
        keys, retention = define_keys(sale_id, self._shards), str(self._retention_ms)
        try:
            _, status, *_ = await self._with_timeout(call(self._redis, self._retire, keys, sale_id, "prune", OWNER, "", retention))
        except ResponseError as error:
            if is_fenced(error):
                # It concerns the shard, not this sale.
                raise
            log.error("retention.refused", extra={"sale_id": sale_id, "reason": str(error)})
            return False
        if status != "removed":
            return False
        metrics.REMOVED_SALES.inc()
        log.info("sale.removed", extra={"sale_id": sale_id})
        return True

    async def _with_timeout(self, awaitable: Awaitable[T]) -> Any:
        async with asyncio.timeout(self._timeout_seconds):
            return await awaitable
