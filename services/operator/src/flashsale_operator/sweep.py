"""Compares all sales with their resources every few seconds, so that lost events do no harm.

It only wakes the resources that need work. A thousand kopf timers that each read Redis would keep a core busy.
"""

import asyncio
import logging
from collections.abc import Mapping

from flashsale_core.errors import Retryable
from flashsale_operator import metrics
from flashsale_operator.cache import CachedResource, ResourceCache
from flashsale_operator.reconcile import Reconciler
from flashsale_operator.settings import Settings

CHUNK = 250
"""Most sales read in one round trip."""
WRITES_MAX = 100
"""Most resources that one sweep wakes only to write new stock numbers; those not written for the longest time come first."""
log = logging.getLogger(__name__)


class Sweep:
    def __init__(self, reconciler: Reconciler, cache: ResourceCache, settings: Settings) -> None:
        self._reconciler = reconciler
        self._cache = cache
        self._settings = settings
        self._turned_at: float | None = None

    def silent_seconds(self) -> float:
        """How long ago the loop last turned. A failed sweep counts as a turn: a restart would not bring Redis back."""
        return 0.0 if self._turned_at is None else asyncio.get_running_loop().time() - self._turned_at

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            self._turned_at = asyncio.get_running_loop().time()
            await asyncio.sleep(self._settings.reconcile_seconds)
            try:
                await self.sweep()
            except Retryable as error:
                # Resources that were Ready are not any more: each one's reconciliation finds Redis away and writes that to its status.
                metrics.RECONCILE_ERRORS.inc()
                log.warning("sweep.interrupted", extra={"reason": str(error)})
                self._wake_all()
            except Exception:
                # Broad on purpose: an unforeseen error must not end the watch over all sales. An alert reports it.
                metrics.RECONCILE_ERRORS.inc()
                log.exception("sweep.failed")

    async def sweep(self) -> None:
        """Raises Retryable when Redis is away."""
        await self._reconciler.check_durability()
        numbers_only: list[CachedResource] = []
        resources = self._cache.resources()
        for start in range(0, len(resources), CHUNK):
            numbers_only += await self._sweep_chunk(resources[start : start + CHUNK])
        for cached in sorted(numbers_only, key=lambda cached: cached.stock_written_at)[:WRITES_MAX]:
            cached.wake.set()
        self._cache.record_reconciled()
        self._cache.count_phases()

    async def _sweep_chunk(self, chunk: list[CachedResource]) -> list[CachedResource]:
        """Wake the resources that need work; returns those that only need new stock numbers."""
        numbers_only: list[CachedResource] = []
        sales = await self._reconciler.read([cached.resource.product_id for cached in chunk])
        now = asyncio.get_running_loop().time()
        for cached, sale in zip(chunk, sales, strict=True):
            try:
                if self._compare(cached, sale, now):
                    numbers_only.append(cached)
            except Exception:
                # An unforeseen error in one sale must not hide all the others.
                metrics.RECONCILE_ERRORS.inc()
                log.exception("sweep.skipped", extra={"flashsale": f"{cached.resource.namespace}/{cached.resource.name}"})
        return numbers_only

    def _compare(self, cached: CachedResource, sale: Mapping[str, str] | None, now: float) -> bool:
        """Wake the resource if its sale must be changed or its conditions written; returns whether only its stock numbers are due."""
        cached.adopt_observed(now)
        status = self._reconciler.judge(cached.resource, sale, cached.status)
        if status is None or cached.needs_write(status, now, float("inf")):
            cached.wake.set()
            return False
        return cached.needs_write(status, now, self._settings.status_seconds)

    def _wake_all(self) -> None:
        for cached in self._cache.resources():
            if cached.status.get("conditions", [{}])[0].get("reason") != "RedisUnavailable":
                cached.wake.set()
