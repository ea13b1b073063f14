"""What kopf calls: translate, reconcile, write the status. Events and diffs only start a reconciliation."""

import asyncio
import dataclasses
import functools
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Any, ParamSpec

import kopf

from flashsale_core.tasks import cancel_and_wait
from flashsale_operator import metrics
from flashsale_operator.cache import CachedResource, ResourceCache
from flashsale_operator.conditions import FIELDS_OF_A_SALE, transitions
from flashsale_operator.reconcile import Reconciler
from flashsale_operator.resource import GROUP, PLURAL, VERSION, read_resource
from flashsale_operator.settings import Settings

DRAIN_SECONDS = (2.0, 30.0)
"""Shortest and longest pause between two checks of a draining sale. Each check writes to its resource."""
BACKOFF_SECONDS = 5.0
WAKE_PAUSE_SECONDS = 0.2
"""Shortest pause between two reconciliations of one resource that the sweep starts."""
_STATUS_FIELDS = ("observedGeneration", "productId", "paymentWindowSeconds", "phase", "conditions", "epoch", "stock")
_CONDITIONS_WITH_EVENTS = ("Ready", "Stalled", "SoldOut")
P = ParamSpec("P")
log = logging.getLogger(__name__)


def drain_seconds(hold_seconds: int) -> float:
    """The pause between two checks of a draining sale, in seconds: a tenth of its payment window, within bounds."""
    shortest, longest = DRAIN_SECONDS
    return min(max(hold_seconds / 10, shortest), longest)


def spread(pause_seconds: float) -> float:
    """A random pause near `pause_seconds`, so that resources that failed together are not retried together."""
    return pause_seconds * random.uniform(0.75, 1.25)  # noqa: S311 - spreads load, keeps no secret


def _retry_with_jitter(handler: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
    """Retry after an unforeseen error at a random time: kopf itself has no jitter."""

    @functools.wraps(handler)
    async def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            await handler(*args, **kwargs)
        except kopf.TemporaryError:
            raise
        except Exception as error:
            log.exception("reconcile.failed")
            metrics.RECONCILE_ERRORS.inc()
            raise kopf.TemporaryError(f"{type(error).__name__}: {error}", delay=spread(BACKOFF_SECONDS)) from error

    return run


class Handlers:
    def __init__(self, reconciler: Reconciler, cache: ResourceCache, settings: Settings) -> None:
        self._reconciler = reconciler
        self._cache = cache
        self._settings = settings

    def register(self, registry: kopf.OperatorRegistry) -> None:
        """Every cause has the same handler, except deletion."""
        resource: Any = (GROUP, VERSION, PLURAL)
        options: dict[str, Any] = {"registry": registry, "backoff": BACKOFF_SECONDS, "errors": kopf.ErrorsMode.TEMPORARY}
        kopf.on.create(*resource, **options, id="create")(self.on_change)
        kopf.on.update(*resource, **options, id="update")(self.on_change)
        kopf.on.resume(*resource, **options, id="resume")(self.on_change)
        kopf.on.delete(*resource, **options, id="delete")(self.on_delete)
        kopf.on.event(*resource, registry=registry, id="gone")(self.on_event)
        kopf.on.timer(*resource, **options, id="sweep", interval=WAKE_PAUSE_SECONDS, initial_delay=WAKE_PAUSE_SECONDS)(self.on_wake)

    async def on_event(self, body: kopf.Body, type: str | None, **_: Any) -> None:  # noqa: A002 - kopf names it so
        """Receives every event. A resource whose finalizer somebody removed disappears without `on_delete`."""
        if type == "DELETED":
            self._cache.remove(body.metadata.uid or "")
        else:
            self._cache.observe(body.metadata.uid or "", body.metadata.get("generation", 0), _own_fields(body.status))

    @_retry_with_jitter
    async def on_change(self, body: kopf.Body, patch: kopf.Patch, reason: str, **_: Any) -> None:
        await self._reconcile(body, patch, str(reason))

    @_retry_with_jitter
    async def on_wake(self, body: kopf.Body, patch: kopf.Patch, stopped: Any = None, **_: Any) -> None:
        """A kopf timer that waits until the sweep wakes the resource or kopf stops the timer. `stopped` is a kopf.DaemonStopped."""
        cached = self._cached(body)
        if await _wait_for_wake(cached.wake, stopped):
            cached.wake.clear()
            await self._reconcile(body, patch, "sweep")

    @_retry_with_jitter
    async def on_delete(self, body: kopf.Body, patch: kopf.Patch, **_: Any) -> None:
        cached, resource = self._cached(body), read_resource(body, self._settings.payment_windows)
        cached.deleting = True
        async with cached.lock:
            status = await self._reconciler.retire(resource, body.status)
        if status is None:
            self._cache.remove(resource.uid)
            return
        cached.status = status
        _write(patch, body.status, status)
        pause_seconds = drain_seconds(int(resource.definition["hold_seconds"]))
        raise kopf.TemporaryError(status["conditions"][0]["message"], delay=spread(pause_seconds))

    def _cached(self, body: kopf.Body) -> CachedResource:
        resource = read_resource(body, self._settings.payment_windows)
        cached = self._cache.get_or_add(resource, _own_fields(body.status))
        if resource.generation >= cached.resource.generation:
            # The status passed here may be older than the cached one: a sale that was loaded once must keep its epoch.
            cached.resource = dataclasses.replace(resource, epoch=resource.epoch or cached.resource.epoch)
        return cached

    async def _reconcile(self, body: kopf.Body, patch: kopf.Patch, cause: str) -> None:
        cached = self._cached(body)
        async with cached.lock:
            if cached.deleting or body.metadata.get("deletionTimestamp"):
                return
            started, resource = perf_counter(), cached.resource
            status = await self._reconciler.reconcile(resource, cached.status)
            metrics.RECONCILE_SECONDS.observe(perf_counter() - started)
            self._cache.record_reconciled()
            _count(status, cause)
            now = asyncio.get_running_loop().time()
            if not cached.needs_write(status, now, 0):
                return
            _post_events(body, cached.status, status)
            _write(patch, body.status, status)
            cached.resource = dataclasses.replace(resource, epoch=status.get("epoch", 0))
            cached.status, cached.stock_written_at = status, now


async def _wait_for_wake(wake: asyncio.Event, stopped: kopf.DaemonStopped) -> bool:
    """Wait until either is set; returns whether it was `wake`."""

    async def stop() -> None:
        await stopped.wait()

    waits: list[asyncio.Task[Any]] = [asyncio.create_task(wake.wait()), asyncio.create_task(stop())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_and_wait(*waits)
    return wake.is_set()


def _own_fields(status: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in status.items() if name in _STATUS_FIELDS}


def _write(patch: kopf.Patch, previous: Mapping[str, Any], status: Mapping[str, Any]) -> None:
    patch.status.update(status)
    for name in FIELDS_OF_A_SALE:
        if name in previous and name not in status:
            # A merge patch removes a field only if it is given as null (RFC 7386).
            patch.status[name] = None


def _count(status: Mapping[str, Any], cause: str) -> None:
    ready = next(condition for condition in status["conditions"] if condition["type"] == "Ready")
    metrics.RECONCILES.labels(cause, ready["reason"]).inc()
    if ready["reason"] == "RedisUnavailable":
        metrics.RECONCILE_ERRORS.inc()


def _post_events(body: kopf.Body, previous: Mapping[str, Any], status: Mapping[str, Any]) -> None:
    for condition in transitions(previous, status):
        kind, holds = condition["type"], condition["status"] == "True"
        if kind not in _CONDITIONS_WITH_EVENTS:
            continue
        bad = holds if kind == "Stalled" else not holds and kind == "Ready"
        reason = condition["reason"] if holds else f"Not{kind}"
        message = condition["message"] or f"{kind} is {condition['status']}"
        kopf.event(body, type="Warning" if bad else "Normal", reason=reason, message=message)
