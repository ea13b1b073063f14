"""What kopf's events do, and the pauses after which it retries."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import kopf
import pytest

from flashsale_core.settings import Environment
from flashsale_operator.cache import ResourceCache
from flashsale_operator.handlers import FINALIZER, Handlers, drain_seconds
from flashsale_operator.kopf_settings import kopf_settings
from flashsale_operator.reconcile import Reconciler
from flashsale_operator.recorder import Recorder
from flashsale_operator.resource import Resource
from flashsale_operator.settings import Settings, read_settings
from flashsale_operator.work_queue import WorkQueue
from tests.unit.operator.test_operator_plan import body


class NeverDone:
    """A Reconciler whose sales drain for ever."""

    async def retire(self, _: Resource, __: Mapping[str, Any]) -> dict[str, Any]:
        return {"phase": "Draining", "conditions": [{"type": "Ready", "status": "False", "reason": "Draining", "message": "3 reserved"}]}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(Environment({"REDIS_URL": "redis://r", "FLASHSALE_LUA_DIR": str(tmp_path)}))


@pytest.mark.parametrize(("hold_seconds", "pause_seconds"), [(1, 2), (15, 2), (60, 6), (300, 30), (1800, 30)])
def test_draining_sale_is_checked_every_tenth_of_its_payment_window(hold_seconds: int, pause_seconds: float) -> None:
    assert drain_seconds(hold_seconds) == pause_seconds


async def test_sales_that_drain_together_are_checked_at_different_times() -> None:
    delays = {await delay_of_deletion(paymentWindowSeconds=300) for _ in range(20)}
    assert (len(delays) > 10, min(delays) >= 22.5, max(delays) <= 37.5) == (True, True, True)


def test_apiserver_requests_are_retried_at_different_times(settings: Settings) -> None:
    backoffs = cast("Any", kopf_settings(settings).networking.error_backoffs)
    assert list(backoffs) != list(backoffs)
    assert len(list(backoffs)) == 8


def test_resources_are_listed_in_chunks(settings: Settings) -> None:
    assert (kopf_settings(settings).watching.chunk_size or 0) > 0


async def test_only_a_new_generation_is_queued() -> None:
    handlers, queue = handlers_of(NeverDone())
    for generation in (3, 3, 4, 2):
        await observe(handlers, generation)
        if len(queue):
            uid, edited = await queue.take()
            queue.done(uid)
            assert (uid, edited, generation in (3, 4)) == ("u1", True, True)
    assert len(queue) == 0


async def test_resource_without_finalizer_is_not_reconciled() -> None:
    handlers, queue = handlers_of(NeverDone())
    await observe(handlers, 3, finalizers=[])
    assert len(queue) == 0
    await observe(handlers, 3)
    assert len(queue) == 1


async def test_resource_that_is_being_deleted_is_not_queued() -> None:
    handlers, queue = handlers_of(NeverDone())
    await observe(handlers, 3, deletionTimestamp="2026-08-01T12:00:00Z")
    assert len(queue) == 0


def handlers_of(reconciler: object) -> tuple[Handlers, WorkQueue]:
    async def post(_: str, __: dict[str, Any]) -> None:
        """Posted."""

    queue = WorkQueue()
    return Handlers(cast("Reconciler", reconciler), ResourceCache(), queue, Recorder(post), (60, 300)), queue


async def observe(handlers: Handlers, generation: int, **metadata: Any) -> None:
    document = body()
    document["metadata"] |= {"generation": generation, "finalizers": [FINALIZER]} | metadata
    await handlers.on_event(body=kopf.Body(cast("Any", document | {"status": {}})), type="MODIFIED")


async def delay_of_deletion(**spec: Any) -> float:
    handlers, _ = handlers_of(NeverDone())
    with pytest.raises(kopf.TemporaryError) as raised:
        await handlers.on_delete(body=kopf.Body(cast("Any", body(**spec) | {"status": {}})), patch=kopf.Patch())
    assert raised.value.delay is not None
    return raised.value.delay
