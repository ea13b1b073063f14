"""What kopf calls: translate, reconcile, write the status. Events and diffs only wake us up."""

import asyncio
import dataclasses
from collections.abc import Mapping
from time import perf_counter
from typing import Any

import kopf

from flashsale_operator import metrics
from flashsale_operator.conditions import transitions, without_stock
from flashsale_operator.memory import Memory
from flashsale_operator.reconcile import Reconciler
from flashsale_operator.resource import GROUP, PLURAL, VERSION, Resource, read_resource
from flashsale_operator.settings import Settings

DRAIN_SECONDS = 2.0
BACKOFF_SECONDS = 5.0
_NOTABLE = ("Ready", "Stalled", "SoldOut")


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
        every = self._settings.reconcile_seconds
        kopf.on.timer(*resource, **options, id="timer", interval=every, initial_delay=every)(self.ticked)

    async def changed(self, body: kopf.Body, patch: kopf.Patch, reason: str, **_: Any) -> None:
        await self._reconcile(body, patch, str(reason))

    async def ticked(self, body: kopf.Body, patch: kopf.Patch, **_: Any) -> None:
        await self._reconcile(body, patch, "timer")

    async def deleted(self, body: kopf.Body, patch: kopf.Patch, **_: Any) -> None:
        resource = read_resource(body)
        remembered = self._memory.of(resource.uid)
        async with remembered.lock:
            status = await self._reconciler.retire(resource, body.status)
        if status is None:
            self._memory.forget(resource.uid)
            return
        self._memory.reconciled(resource.uid, status["phase"])
        _write(patch, body.status, status)
        raise kopf.TemporaryError(status["conditions"][0]["message"], delay=DRAIN_SECONDS)

    async def _reconcile(self, body: kopf.Body, patch: kopf.Patch, cause: str) -> None:
        resource = read_resource(body)
        remembered = self._memory.of(resource.uid)
        async with remembered.lock:
            if resource.generation < remembered.generation:
                return
            remembered.generation = resource.generation
            started = perf_counter()
            known = dataclasses.replace(resource, epoch=resource.epoch or remembered.epoch)
            status = await self._reconciler.reconcile(known, body.status)
            metrics.RECONCILE_SECONDS.observe(perf_counter() - started)
            remembered.epoch = status.get("epoch", 0)
        self._memory.reconciled(resource.uid, status["phase"])
        _measure(status, cause)
        if self._worth_writing(body.status, status, resource):
            _write(patch, body.status, status)
            _tell(body, status)

    def _worth_writing(self, previous: Mapping[str, Any], status: Mapping[str, Any], resource: Resource) -> bool:
        """Numbers alone are written now and then: live numbers belong in metrics."""
        remembered, now = self._memory.of(resource.uid), asyncio.get_running_loop().time()
        written = {
            name: value for name, value in previous.items() if name in ("observedGeneration", "phase", "conditions", "epoch", "stock")
        }
        if status == written:
            return False
        if without_stock(status) == without_stock(written) and now - remembered.stock_written < self._settings.status_seconds:
            return False
        remembered.stock_written = now
        return True


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


def _tell(body: kopf.Body, status: Mapping[str, Any]) -> None:
    for one in transitions(body.status, status):
        if one["type"] not in _NOTABLE:
            continue
        bad = (one["type"] == "Stalled") == (one["status"] == "True") and one["type"] != "SoldOut"
        reason = one["reason"] if one["status"] == "True" else f"Not{one['type']}"
        kopf.event(body, type="Warning" if bad else "Normal", reason=reason, message=one["message"] or f"{one['type']} is {one['status']}")
