"""How resources in the queue are reconciled, and what happens when that fails."""

import asyncio
import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import pytest

from flashsale_core.tasks import cancel_and_wait
from flashsale_operator import controller
from flashsale_operator.availability import Busy
from flashsale_operator.cache import ResourceCache
from flashsale_operator.controller import Controller
from flashsale_operator.reconcile import Reconciler
from flashsale_operator.recorder import Recorder
from flashsale_operator.resource import FINALIZER, Resource
from flashsale_operator.status_writer import StatusWriter
from flashsale_operator.work_queue import Lane, WorkQueue
from tests.unit.operator.test_operator_plan import RESOURCE

KEPT = dataclasses.replace(RESOURCE, finalizers=(FINALIZER,))
READY = {"phase": "Live", "epoch": 7, "conditions": [{"type": "Ready", "status": "True", "reason": "Reconciled", "message": ""}]}


class Script:
    """A Reconciler and a StatusWriter that fail in turn before they succeed."""

    def __init__(self, *failures: Exception, writes: tuple[Exception | bool, ...] = ()) -> None:
        self._failures, self._writes = [*failures], [*writes]
        self.reconciled = 0
        self.written: list[dict[str, Any]] = []
        self.claims: list[str] = []
        self.claimed_version = ""
        self.finalized: list[tuple[str, ...]] = []

    async def reconcile(self, _: Resource, __: Mapping[str, Any]) -> dict[str, Any]:
        self.reconciled += 1
        if self._failures:
            raise self._failures.pop(0)
        return READY

    async def add_finalizer(self, resource: Resource) -> str | None:
        """The first comes too late: the resource has changed."""
        self.finalized.append(resource.finalizers)
        return "8" if len(self.finalized) > 1 else None

    async def claim(self, resource: Resource, controller: str) -> bool:
        """The first claim comes too late: the resource has changed."""
        self.claims.append(controller)
        self.claimed_version = resource.version
        return len(self.claims) > 1

    async def write(self, _: Resource, status: dict[str, Any]) -> bool:
        answer = self._writes.pop(0) if self._writes else True
        if isinstance(answer, Exception):
            raise answer
        self.written.append(status)
        return answer


async def work_on(script: Script, cache: ResourceCache, until_reconciled: int) -> None:
    """Let the controller work on RESOURCE until it was reconciled that often."""

    async def post(_: str, __: dict[str, Any]) -> None:
        """Posted."""

    queue = WorkQueue()
    queue.add(RESOURCE.uid, Lane.EDITED)
    working = asyncio.create_task(Controller(cast("Reconciler", script), cache, queue, cast("StatusWriter", script), Recorder(post)).run())
    async with asyncio.timeout(5):
        while script.reconciled < until_reconciled:  # noqa: ASYNC110 - what is waited for is a number that grows
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.02)
    await cancel_and_wait(working)


@pytest.fixture(autouse=True)
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    for pause in ("BACKOFF_SECONDS", "REFUSED_PAUSE_SECONDS", "CLAIM_BACKOFF_SECONDS"):
        monkeypatch.setattr(controller, pause, 0.001)


@pytest.mark.parametrize("failure", [Busy("slow"), ZeroDivisionError("unforeseen")])
async def test_failed_reconciliation_is_retried_and_writes_nothing(failure: Exception) -> None:
    script, cache = Script(failure), ResourceCache()
    cached = cache.get_or_add(KEPT, {})
    await work_on(script, cache, 2)
    assert (script.written, cached.status, cached.resource.epoch) == ([READY], READY, 7)


async def test_status_that_the_apiserver_refused_is_written_again() -> None:
    script, cache = Script(writes=(OSError("away"),)), ResourceCache()
    cached = cache.get_or_add(KEPT, {})
    await work_on(script, cache, 2)
    assert (script.written, cached.status) == ([READY], READY)


async def test_resource_that_is_being_deleted_or_gone_is_left_alone() -> None:
    script, cache = Script(), ResourceCache()
    cache.get_or_add(KEPT, {}).deleting = True
    await work_on(script, cache, 0)
    await work_on(script, ResourceCache(), 0)
    assert (script.reconciled, script.written) == (0, [])


async def test_status_of_a_deleted_resource_is_not_remembered() -> None:
    script, cache = Script(writes=(False,)), ResourceCache()
    cached = cache.get_or_add(KEPT, {})
    await work_on(script, cache, 1)
    assert cached.status == {}


def test_pauses_are_spread_around_their_length() -> None:
    pauses = [controller.spread(8) for _ in range(100)]
    assert (min(pauses) >= 6, max(pauses) <= 10, len(set(pauses)) > 50) == (True, True, True)


async def test_resource_is_claimed_before_its_sale_is_loaded() -> None:
    cache, script, queue = ResourceCache(), Script(), WorkQueue()
    cached = cache.get_or_add(KEPT, {})
    working = Controller(cast("Reconciler", script), cache, queue, cast("StatusWriter", script), cast("Recorder", None), "shop.one")
    await working.reconcile(cached, "watch")
    assert (script.claims, script.reconciled, cached.resource.controller) == (["shop.one"], 0, "")
    async with asyncio.timeout(5):
        assert await queue.take() == (RESOURCE.uid, Lane.SWEPT)
    with pytest.raises(AttributeError):
        await working.reconcile(cached, "watch")  # It has no recorder, and comes that far.
    assert (script.claims, script.reconciled, cached.resource.controller) == (["shop.one"] * 2, 1, "shop.one")


async def test_finalizer_is_there_before_anything_else_and_the_claim_has_its_version() -> None:
    cache, script, queue = ResourceCache(), Script(), WorkQueue()
    cached = cache.get_or_add(dataclasses.replace(RESOURCE, finalizers=("somebody/else",)), {})
    working = Controller(cast("Reconciler", script), cache, queue, cast("StatusWriter", script), cast("Recorder", None), "shop.one")
    await working.reconcile(cached, "watch")
    assert (script.claims, script.reconciled, cached.resource.kept) == ([], 0, False)
    async with asyncio.timeout(5):
        assert await queue.take() == (RESOURCE.uid, Lane.NEW)
    await working.reconcile(cached, "watch")
    assert (script.claimed_version, cached.resource.finalizers) == ("8", ("somebody/else", FINALIZER))
    assert (script.finalized, script.reconciled) == ([("somebody/else",)] * 2, 0)


async def test_version_that_the_watch_reported_meanwhile_is_kept() -> None:
    cache, newer = ResourceCache(), dataclasses.replace(KEPT, version="9")

    class Late(Script):
        async def add_finalizer(self, _: Resource) -> str | None:
            cache.get_or_add(newer, {})
            return "8"

    script = Late()
    cached = cache.get_or_add(RESOURCE, {})
    working = Controller(cast("Reconciler", script), cache, WorkQueue(), cast("StatusWriter", script), cast("Recorder", None), "shop.one")
    await working.reconcile(cached, "watch")
    assert (script.claimed_version, cached.resource) == ("9", newer)
