"""The second clock: overdue deadlines straight from Redis. Enough on its own when the broker lost a wait, or everything."""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from time import perf_counter

from flashsale_core.errors import Rejected, Retryable
from flashsale_core.tracing import Tracing
from flashsale_timeout_worker import metrics
from flashsale_timeout_worker.expiry import CHUNK, Expiry
from flashsale_timeout_worker.settings import Settings
from flashsale_timeout_worker.spans import ExpirySpans

SOURCE = "sweep"
log = logging.getLogger(__name__)


class Sweeper:
    def __init__(self, expiry: Expiry, settings: Settings, tracing: Tracing | None = None) -> None:
        self._expiry = expiry
        self._spans = ExpirySpans(tracing or Tracing(None), settings.amqp_url, settings.redis_url)
        self._settings = settings
        self.fault: str | None = None
        """Why the last sweep was cut short; None when it was not."""

    async def run(self) -> None:
        """Sweep until cancelled. Starts at a random moment of its interval, so that several workers do not sweep as one."""
        interval_seconds = self._settings.sweep_interval_ms / 1000
        await asyncio.sleep(random.uniform(0, interval_seconds))  # noqa: S311 - spreads load, keeps no secret
        while True:
            try:
                await self.sweep()
                self.fault = None
                await asyncio.sleep(interval_seconds)
            except Exception as error:
                # The broad catch is the edge: the next sweep starts from what Redis says then, and readiness tells of this one.
                self.fault = str(error) or type(error).__name__
                metrics.SWEEP_FAILURES.inc()
                log.warning("sweep.interrupted", extra={"reason": self.fault})
                await asyncio.sleep(self._settings.retry_seconds)

    async def sweep(self) -> int:
        """Expire what is overdue in all shards, page by page; returns how many were found. Raises Retryable, after all were tried."""
        started, found, away = perf_counter(), 0, None
        for shard in range(self._settings.shards):
            try:
                found += await self._sweep_shard(shard)
            except Retryable as error:
                # On a cluster the next shard may be another master's.
                self.fault, away = str(error), error
        if away is not None:
            raise away
        metrics.OVERDUE_ORDERS.set(found)
        metrics.SWEEP_SECONDS.observe(perf_counter() - started)
        return found

    async def _sweep_shard(self, shard: int) -> int:
        found = stuck = 0
        for _ in range(self._settings.sweep_pages_max):
            overdue = await self._expiry.overdue(shard, self._settings.sweep_grace_ms, CHUNK, stuck)
            page = sum(map(len, overdue.values()))
            found += page
            for sale_id, order_ids in overdue.items():
                if not await self._leave(sale_id, order_ids):
                    stuck += len(order_ids)
            # Every other order of a page leaves the set: expired, or found to be no hold. A short page was the last.
            if page < CHUNK:
                break
        return found

    async def _leave(self, sale_id: str, order_ids: Sequence[str]) -> bool:
        """Whether the orders left the set. Those of a broken sale stay, and must not hold up the other sales of its shard."""
        started_ns = time.time_ns()
        try:
            expired = await self._expiry.expire(sale_id, order_ids, SOURCE)
        except Rejected as error:
            metrics.SWEEP_REFUSED.inc(len(order_ids))
            log.error("sweep.refused", extra={"sale_id": sale_id, "orders": len(order_ids), "reason": error.reason})
            return False
        self._spans.swept(sale_id, expired, started_ns)
        return True
