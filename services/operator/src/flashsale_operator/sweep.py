"""Compares all sales with their resources every few seconds, so that lost events do no harm.

It only queues the resources that need work. A thousand kopf timers that each read Redis would keep a core busy.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping

from flashsale_core.errors import Retryable
from flashsale_operator import metrics
from flashsale_operator.availability import Busy
from flashsale_operator.cache import CachedResource, ResourceCache
from flashsale_operator.object_metrics import ObjectMetrics
from flashsale_operator.reconcile import Reconciler
from flashsale_operator.settings import Settings
from flashsale_operator.work_queue import Lane, WorkQueue

CHUNK = 250
"""Most sales read in one round trip."""
WRITES_MAX = 100
"""Most resources that one sweep wakes only to write new stock numbers; those not written for the longest time come first."""
WAKES_MAX = 1000
"""Most resources that wait in the queue because of sweeps. Those not woken for the longest time come first."""
PAUSE_FACTOR = 9
"""A sweep is followed by a pause of at least this many times its duration, so that sweeps use a tenth of a core at most."""
log = logging.getLogger(__name__)


class Sweep:
    def __init__(self, reconciler: Reconciler, cache: ResourceCache, queue: WorkQueue, settings: Settings) -> None:
        self._reconciler = reconciler
        self._cache = cache
        self._queue = queue
        self._settings = settings
        self._objects = ObjectMetrics()
        self._turned_at: float | None = None
        self._pause_seconds = settings.reconcile_seconds

    def silent_seconds(self) -> float:
        """How long ago the sweep last made progress. A failed sweep is progress: a restart would not bring Redis back."""
        return 0.0 if self._turned_at is None else asyncio.get_running_loop().time() - self._turned_at

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            self._turned_at = asyncio.get_running_loop().time()
            await asyncio.sleep(self._pause_seconds)
            began = asyncio.get_running_loop().time()
            try:
                await self.sweep()
            except Busy as error:
                # Nothing is known about any sale, so nothing is written.
                log.warning("sweep.slow", extra={"reason": str(error)})
            except Retryable as error:
                # Resources that were Ready are not any more: each one's reconciliation finds Redis away and writes that to its status.
                metrics.RECONCILE_ERRORS.inc()
                log.warning("sweep.interrupted", extra={"reason": str(error)})
                self._wake(cached for cached in self._cache.resources() if not _knows_redis_is_away(cached))
            except Exception:
                # Broad on purpose: an unforeseen error must not end the watch over all sales. An alert reports it.
                metrics.RECONCILE_ERRORS.inc()
                log.exception("sweep.failed")
            self._pause_seconds = pause_seconds(asyncio.get_running_loop().time() - began, self._settings)

    async def sweep(self) -> None:
        """Raises Retryable when Redis is away, and Busy when it is too slow."""
        try:
            await self._compare_all(self._cache.resources())
        finally:
            # Also while Redis is away: the statuses say so, and metrics that still called them Ready would contradict them.
            self._cache.count_phases()
            self._objects.update(self._cache.resources(), time.time())

    async def _compare_all(self, resources: list[CachedResource]) -> None:
        await self._reconciler.check_durability()
        due: list[CachedResource] = []
        numbers_only: list[CachedResource] = []
        for start in range(0, len(resources), CHUNK):
            await self._sweep_chunk(resources[start : start + CHUNK], due, numbers_only)
            self._turned_at = asyncio.get_running_loop().time()
        self._wake(due)
        self._wake(sorted(numbers_only, key=lambda cached: cached.stock_written_at)[:WRITES_MAX])
        self._cache.record_reconciled()

    async def _sweep_chunk(self, chunk: list[CachedResource], due: list[CachedResource], numbers_only: list[CachedResource]) -> None:
        """Add the resources that need work to `due`, and those that only need new stock numbers to `numbers_only`."""
        sales = await self._reconciler.read([cached.resource.product_id for cached in chunk])
        now = asyncio.get_running_loop().time()
        for cached, sale in zip(chunk, sales, strict=True):
            try:
                wanted = self._compare(cached, sale, now)
            except Exception:
                # An unforeseen error in one sale must not hide all the others.
                metrics.RECONCILE_ERRORS.inc()
                log.exception("sweep.skipped", extra={"flashsale": cached.resource.full_name})
                continue
            if wanted is not None:
                (numbers_only if wanted else due).append(cached)

    def _compare(self, cached: CachedResource, sale: Mapping[str, str] | None, now: float) -> bool | None:
        """False if the sale must be changed or its conditions written, True if only its stock numbers are due, None if nothing is."""
        if cached.deleting or not cached.resource.kept:
            return None
        cached.adopt_observed(now)
        status = self._reconciler.judge(cached.resource, sale, cached.status)
        if status is None or cached.needs_write(status, now, float("inf")):
            return False
        return True if cached.needs_write(status, now, self._settings.status_seconds) else None

    def _wake(self, due: Iterable[CachedResource]) -> None:
        now = asyncio.get_running_loop().time()
        for cached in sorted(due, key=lambda cached: cached.woken_at)[: max(0, WAKES_MAX - self._queue.swept())]:
            cached.woken_at = now
            self._queue.add(cached.resource.uid, Lane.SWEPT)


def pause_seconds(sweep_seconds: float, settings: Settings) -> float:
    """How long to wait after a sweep: longer after a long one, but so short that the sweep does not seem to hang."""
    longest = max(settings.reconcile_seconds, settings.silence_seconds / 2)
    return min(max(settings.reconcile_seconds, PAUSE_FACTOR * sweep_seconds), longest)


def _knows_redis_is_away(cached: CachedResource) -> bool:
    return cached.deleting or not cached.resource.kept or cached.status.get("conditions", [{}])[0].get("reason") == "RedisUnavailable"
