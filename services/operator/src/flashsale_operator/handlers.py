"""What kopf calls: translate, reconcile, write the status. Events and diffs only wake us up."""

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
from flashsale_operator.cache import Memory, Remembered
from flashsale_operator.conditions import transitions
from flashsale_operator.reconcile import Reconciler
from flashsale_operator.resource import GROUP, PLURAL, VERSION, read_resource
from flashsale_operator.settings import Settings

DRAIN_SECONDS = (2.0, 30.0)
"""Least and most pause between two looks at a sale that drains. Each look is a write to its resource."""
BACKOFF_SECONDS = 5.0
AGAIN_SECONDS = 0.2
"""Least pause between two reconciliations of one resource that the sweep asks for."""
_OURS = ("observedGeneration", "productId", "phase", "conditions", "epoch", "stock")
_NOTABLE = ("Ready", "Stalled", "SoldOut")
P = ParamSpec("P")
log = logging.getLogger(__name__)


def drain_seconds(hold_seconds: int) -> float:
    """How long to wait for the holds of a sale that drains: a tenth of its payment window, within bounds."""
    least, most = DRAIN_SECONDS
    return min(max(hold_seconds / 10, least), most)


def spread(pause_seconds: float) -> float:
    """A pause near `pause_seconds`: what failed together shall not come back together."""
    return pause_seconds * random.uniform(0.75, 1.25)  # noqa: S311 - spreads load, keeps no secret


def _again_later(handler: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
    """kopf has no jitter: what we did not foresee is tried again at a time of its own."""

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
    def __init__(self, reconciler: Reconciler, memory: Memory, settings: Settings) -> None:
        self._reconciler = reconciler
        self._memory = memory
        self._settings = settings

    def register(self, registry: kopf.OperatorRegistry) -> None:
        """The same function under every cause; only deletion is another."""
        resource: Any = (GROUP, VERSION, PLURAL)
        options: dict[str, Any] = {"registry": registry, "backoff": BACKOFF_SECONDS, "errors": kopf.ErrorsMode.TEMPORARY}
        kopf.on.create(*resource, **options, id="create")(self.changed)
        kopf.on.update(*resource, **options, id="update")(self.changed)
        kopf.on.resume(*resource, **options, id="resume")(self.changed)
        kopf.on.delete(*resource, **options, id="delete")(self.deleted)
        kopf.on.event(*resource, registry=registry, id="gone")(self.seen)
        kopf.on.timer(*resource, **options, id="sweep", interval=AGAIN_SECONDS, initial_delay=AGAIN_SECONDS)(self.woken)

    async def seen(self, body: kopf.Body, type: str | None, **_: Any) -> None:  # noqa: A002 - kopf names it so
        """Every event, ours too. A resource may go without us, when somebody else took our finalizer away."""
        if type == "DELETED":
            self._memory.forget(body.metadata.uid or "")
        else:
            self._memory.show(body.metadata.uid or "", body.metadata.get("generation", 0), _ours(body.status))

    @_again_later
    async def changed(self, body: kopf.Body, patch: kopf.Patch, reason: str, **_: Any) -> None:
        await self._reconcile(body, patch, str(reason))

    @_again_later
    async def woken(self, body: kopf.Body, patch: kopf.Patch, stopped: Any = None, **_: Any) -> None:
        """A kopf timer that waits for the sweep, or its own end, instead of for the clock. `stopped` is a kopf.DaemonStopped."""
        remembered = self._remember(body)
        if await _either(remembered.wake, stopped):
            remembered.wake.clear()
            await self._reconcile(body, patch, "sweep")

    @_again_later
    async def deleted(self, body: kopf.Body, patch: kopf.Patch, **_: Any) -> None:
        remembered, resource = self._remember(body), read_resource(body)
        remembered.leaving = True
        async with remembered.lock:
            status = await self._reconciler.retire(resource, body.status)
        if status is None:
            self._memory.forget(resource.uid)
            return
        remembered.status = status
        _write(patch, body.status, status)
        pause_seconds = drain_seconds(int(resource.definition["hold_seconds"]))
        raise kopf.TemporaryError(status["conditions"][0]["message"], delay=spread(pause_seconds))

    def _remember(self, body: kopf.Body) -> Remembered:
        resource = read_resource(body)
        remembered = self._memory.of(resource, _ours(body.status))
        if resource.generation >= remembered.resource.generation:
            # The status we are shown may be older than what we have seen: a sale that was loaded stays one that was.
            remembered.resource = dataclasses.replace(resource, epoch=resource.epoch or remembered.resource.epoch)
        return remembered

    async def _reconcile(self, body: kopf.Body, patch: kopf.Patch, cause: str) -> None:
        remembered = self._remember(body)
        async with remembered.lock:
            if remembered.leaving or body.metadata.get("deletionTimestamp"):
                return
            started, resource = perf_counter(), remembered.resource
            status = await self._reconciler.reconcile(resource, remembered.status)
            metrics.RECONCILE_SECONDS.observe(perf_counter() - started)
            self._memory.reconciled()
            _measure(status, cause)
            now = asyncio.get_running_loop().time()
            if not remembered.worth_writing(status, now, 0):
                return
            _tell(body, remembered.status, status)
            _write(patch, body.status, status)
            remembered.resource = dataclasses.replace(resource, epoch=status.get("epoch", 0))
            remembered.status, remembered.stock_written = status, now


async def _either(wake: asyncio.Event, stopped: kopf.DaemonStopped) -> bool:
    """Wait for one of them; whether it was `wake`."""

    async def stop() -> None:
        await stopped.wait()

    waits: list[asyncio.Task[Any]] = [asyncio.create_task(wake.wait()), asyncio.create_task(stop())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_and_wait(*waits)
    return wake.is_set()


def _ours(status: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in status.items() if name in _OURS}


def _write(patch: kopf.Patch, previous: Mapping[str, Any], status: Mapping[str, Any]) -> None:
    patch.status.update(status)
    if "stock" in previous and "stock" not in status:
        # A merge patch takes a field away only when it is told so (RFC 7386).
        patch.status["stock"] = None


def _measure(status: Mapping[str, Any], cause: str) -> None:
    ready = next(one for one in status["conditions"] if one["type"] == "Ready")
    metrics.RECONCILES.labels(cause, ready["reason"]).inc()
    if ready["reason"] == "RedisUnavailable":
        metrics.RECONCILE_ERRORS.inc()


def _tell(body: kopf.Body, previous: Mapping[str, Any], status: Mapping[str, Any]) -> None:
    for one in transitions(previous, status):
        if one["type"] not in _NOTABLE:
            continue
        holds = one["status"] == "True"
        bad = holds if one["type"] == "Stalled" else not holds and one["type"] == "Ready"
        reason = one["reason"] if holds else f"Not{one['type']}"
        kopf.event(body, type="Warning" if bad else "Normal", reason=reason, message=one["message"] or f"{one['type']} is {one['status']}")
