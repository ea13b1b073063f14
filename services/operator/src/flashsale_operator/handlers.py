"""What each event and each deletion of a FlashSale does.

An event only queues the resource; deletions are carried out here, because kopf keeps the finalizer.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import kopf

from flashsale_operator import metrics
from flashsale_operator.availability import Busy
from flashsale_operator.cache import CachedResource, ResourceCache
from flashsale_operator.conditions import FIELDS_OF_A_SALE
from flashsale_operator.controller import BACKOFF_SECONDS, spread
from flashsale_operator.events import status_events
from flashsale_operator.letting_go import is_blocked, is_due, let_go_event, lets_go
from flashsale_operator.reconcile import Reconciler
from flashsale_operator.recorder import Recorder
from flashsale_operator.resource import GROUP, PLURAL, VERSION, DeletionPolicy, Resource, read_resource
from flashsale_operator.settings import Settings
from flashsale_operator.work_queue import Lane, WorkQueue

DRAIN_SECONDS = (2.0, 30.0)
"""Shortest and longest pause between two checks of a draining sale. Each check writes to its resource."""
NamespaceEnds = Callable[[Resource], Awaitable[bool]]
"""Whether the resource's namespace is being deleted. Raises aiohttp.ClientError, OSError or TimeoutError."""
log = logging.getLogger(__name__)


def drain_seconds(hold_seconds: int) -> float:
    """The pause between two checks of a draining sale, in seconds: a tenth of its payment window, within bounds."""
    shortest, longest = DRAIN_SECONDS
    return min(max(hold_seconds / 10, shortest), longest)


class Handlers:
    def __init__(
        self,
        reconciler: Reconciler,
        cache: ResourceCache,
        queue: WorkQueue,
        recorder: Recorder,
        settings: Settings,
        namespace_ends: NamespaceEnds,
    ) -> None:
        self._reconciler = reconciler
        self._cache = cache
        self._queue = queue
        self._recorder = recorder
        self._windows = settings.payment_windows
        self._limit_seconds = settings.delete_without_redis_seconds
        self._namespace_ends = namespace_ends

    def register(self, registry: kopf.OperatorRegistry) -> None:
        resource: Any = (GROUP, VERSION, PLURAL)
        options: dict[str, Any] = {"registry": registry, "backoff": BACKOFF_SECONDS, "errors": kopf.ErrorsMode.TEMPORARY}
        kopf.on.delete(*resource, **options, id="delete")(self.on_delete)

    def observe(self, body: Mapping[str, Any], kind: str | None) -> None:
        """Receives every event. A resource whose finalizer somebody removed disappears without `on_delete`."""
        metadata = body["metadata"]
        uid = metadata["uid"]
        if kind == "DELETED":
            self._cache.remove(uid)
            return
        self._cache.observe(uid, metadata["generation"], body.get("status") or {})
        before = self._cache.get(uid)
        if metadata.get("deletionTimestamp"):
            if before is not None:
                before.deleting = True
            return
        generation = 0 if before is None else before.resource.generation
        try:
            cached = self._cached(body)
        except Exception:
            # Broad on purpose: it must not end the watch over all the others, and only the next edit can help.
            metrics.RECONCILE_ERRORS.inc()
            log.exception("reconcile.failed", extra={"flashsale": f"{metadata['namespace']}/{metadata['name']}"})
            return
        if not cached.resource.kept:
            self._queue.add(uid, Lane.NEW)
        elif cached.resource.generation > generation:
            self._queue.add(uid, Lane.EDITED)

    async def on_delete(self, body: kopf.Body, patch: kopf.Patch, **_: Any) -> None:
        cached, resource = self._cached(body), read_resource(body, self._windows)
        cached.deleting = True
        try:
            async with cached.lock:
                status = await self._reconciler.retire(resource, body.status)
        except Busy as error:
            # A Redis that answers nothing but a PING for minutes is of no use either.
            if await self._lets_go(resource, cached, blocked=True):
                return
            raise kopf.TemporaryError(str(error), delay=spread(BACKOFF_SECONDS)) from error
        except Exception as error:
            # kopf itself retries without jitter.
            metrics.RECONCILE_ERRORS.inc()
            log.exception("reconcile.failed", extra={"flashsale": resource.full_name})
            raise kopf.TemporaryError(f"{type(error).__name__}: {error}", delay=spread(BACKOFF_SECONDS)) from error
        if status is None:
            self._cache.remove(resource.uid)
            return
        if await self._lets_go(resource, cached, blocked=is_blocked(status)):
            return
        self._recorder.record(resource, status_events(cached.status, status))
        cached.status = status
        _write(patch, body.status, status)
        pause_seconds = drain_seconds(int(resource.definition["hold_seconds"]))
        raise kopf.TemporaryError(status["conditions"][0]["message"], delay=spread(pause_seconds))

    async def _lets_go(self, resource: Resource, cached: CachedResource, *, blocked: bool) -> bool:
        """Whether the deletion ends without Redis; `blocked` if it waits for Redis itself now. Says once what is left behind."""
        now = asyncio.get_running_loop().time()
        cached.blocked_since = (cached.blocked_since or now) if blocked else None
        if not is_due(cached.blocked_since, now, self._limit_seconds):
            return False
        try:
            ends = resource.deletion_policy is not DeletionPolicy.RETAIN and await self._namespace_ends(resource)
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False
        if not lets_go(resource, namespace_ends=ends):
            return False
        metrics.DELETED_WITHOUT_REDIS.inc()
        log.warning("deletion.without_redis", extra={"flashsale": resource.full_name, "sale": resource.product_id})
        self._recorder.record(resource, [let_go_event(resource, self._limit_seconds)])
        self._cache.remove(resource.uid)
        return True

    def _cached(self, body: Mapping[str, Any]) -> CachedResource:
        return self._cache.get_or_add(read_resource(body, self._windows), dict(body.get("status") or {}))


def _write(patch: kopf.Patch, previous: Mapping[str, Any], status: Mapping[str, Any]) -> None:
    patch.status.update(status)
    for name in FIELDS_OF_A_SALE:
        if name in previous and name not in status:
            # A merge patch removes a field only if it is given as null (RFC 7386).
            patch.status[name] = None
