"""Reconciles what is in the queue, and writes finalizers and statuses: the only place that does, except for deletions."""

import asyncio
import dataclasses
import logging
import random
from time import perf_counter

import aiohttp

from flashsale_operator import metrics
from flashsale_operator.availability import Busy
from flashsale_operator.cache import CachedResource, ResourceCache
from flashsale_operator.events import status_events
from flashsale_operator.reconcile import Reconciler
from flashsale_operator.recorder import Recorder
from flashsale_operator.resource import FINALIZER
from flashsale_operator.status_writer import StatusWriter
from flashsale_operator.work_queue import Lane, WorkQueue

BACKOFF_SECONDS = 5.0
CLAIM_BACKOFF_SECONDS = 0.5
"""Until a resource that changed while it was claimed is tried again; the watch has reported the change by then."""
REFUSED_PAUSE_SECONDS = 1.0
"""How long a worker rests after a write that failed: an apiserver that refuses at once would be asked thousands of times a second."""
WORKERS = 64
"""More than commands of Redis: most of them wait for the apiserver, which answers a write in half a second when it is busy."""
log = logging.getLogger(__name__)


def spread(pause_seconds: float) -> float:
    """A random pause near `pause_seconds`, so that resources that failed together are not retried together."""
    return pause_seconds * random.uniform(0.75, 1.25)  # noqa: S311 - spreads load, keeps no secret


class Controller:
    def __init__(
        self,
        reconciler: Reconciler,
        cache: ResourceCache,
        queue: WorkQueue,
        writer: StatusWriter,
        recorder: Recorder,
        name: str = "",
    ) -> None:
        """`name` is what the resources are claimed with; empty where nobody else could claim them."""
        self._reconciler = reconciler
        self._cache = cache
        self._queue = queue
        self._writer = writer
        self._recorder = recorder
        self._name = name

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(WORKERS):
                workers.create_task(self._work())

    async def _work(self) -> None:
        while True:
            uid, lane = await self._queue.take()
            try:
                cached = self._cache.get(uid)
                if cached is not None:
                    await self._reconcile_or_retry(cached, "sweep" if lane is Lane.SWEPT else "watch")
            finally:
                self._queue.done(uid)

    async def _reconcile_or_retry(self, cached: CachedResource, cause: str) -> None:
        name = cached.resource.full_name
        try:
            await self.reconcile(cached, cause)
            return
        except Busy as error:
            metrics.RECONCILES.labels(cause, "Busy").inc()
            log.warning("reconcile.slow", extra={"flashsale": name, "reason": str(error)})
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            metrics.RECONCILE_ERRORS.inc()
            log.warning("status.not_written", extra={"flashsale": name, "reason": f"{type(error).__name__}: {error}"})
            await asyncio.sleep(spread(REFUSED_PAUSE_SECONDS))
        except Exception:
            # Broad on purpose: an unforeseen error in one resource must not end the work on all the others.
            metrics.RECONCILE_ERRORS.inc()
            log.exception("reconcile.failed", extra={"flashsale": name})
        self._queue.add_later(cached.resource.uid, spread(BACKOFF_SECONDS), _lane(cached))

    async def reconcile(self, cached: CachedResource, cause: str) -> None:
        """Make the sale match the resource, and write its status if it differs from the last one."""
        async with cached.lock:
            if cached.deleting or not (await self._kept(cached) and await self._claimed(cached)):
                return
            started, resource = perf_counter(), cached.resource
            status = await self._reconciler.reconcile(resource, cached.status)
            metrics.RECONCILE_SECONDS.observe(perf_counter() - started)
            self._cache.record_reconciled()
            _count(status["conditions"], cause)
            now = asyncio.get_running_loop().time()
            if not cached.needs_write(status, now, 0):
                return
            # What was created in Redis must be remembered even if the status cannot be written.
            cached.resource = dataclasses.replace(cached.resource, epoch=status.get("epoch", 0))
            if not await self._writer.write(resource, status):
                return
            self._recorder.record(resource, status_events(cached.status, status))
            cached.status, cached.stock_written_at = status, now

    async def _kept(self, cached: CachedResource) -> bool:
        """Add the finalizer unless that is done: without it, the resource could disappear while its sale is created."""
        resource = cached.resource
        if resource.kept:
            return True
        version = await self._writer.add_finalizer(resource)
        if version is None:
            self._queue.add_later(resource.uid, spread(CLAIM_BACKOFF_SECONDS), Lane.NEW)
            return False
        # The watch may have reported this version or a later one already.
        if cached.resource is resource:
            cached.resource = dataclasses.replace(resource, version=version, finalizers=(*resource.finalizers, FINALIZER))
        return True

    async def _claimed(self, cached: CachedResource) -> bool:
        """Claim the resource unless that is done: two installations that loaded one sale would sell it twice."""
        if not self._name or cached.resource.controller:
            return True
        if not await self._writer.claim(cached.resource, self._name):
            self._queue.add_later(cached.resource.uid, spread(CLAIM_BACKOFF_SECONDS))
            return False
        cached.resource = dataclasses.replace(cached.resource, controller=self._name)
        return True


def _lane(cached: CachedResource) -> Lane:
    """Where a resource that failed waits."""
    return Lane.SWEPT if cached.resource.kept else Lane.NEW


def _count(conditions: "list[dict[str, str]]", cause: str) -> None:
    ready = next(condition for condition in conditions if condition["type"] == "Ready")
    metrics.RECONCILES.labels(cause, ready["reason"]).inc()
    if ready["reason"] == "RedisUnavailable":
        metrics.RECONCILE_ERRORS.inc()
