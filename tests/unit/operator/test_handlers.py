"""What kopf's events do, and the pauses after which it retries."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import kopf
import pytest

from flashsale_core.scripts import read_scripts
from flashsale_core.settings import Environment
from flashsale_operator.availability import Busy
from flashsale_operator.cache import ResourceCache
from flashsale_operator.handlers import Handlers, drain_seconds
from flashsale_operator.kopf_settings import kopf_settings
from flashsale_operator.reconcile import Reconciler
from flashsale_operator.recorder import Recorder
from flashsale_operator.resource import FINALIZER, Resource
from flashsale_operator.sale_store import SaleStore
from flashsale_operator.settings import Settings, read_settings
from flashsale_operator.work_queue import Lane, WorkQueue
from flashsale_redis import open_redis
from tests.unit.operator.test_operator_plan import body


class NeverDone:
    """A Reconciler whose sales drain for ever."""

    async def retire(self, _: Resource, __: Mapping[str, Any]) -> dict[str, Any]:
        return {"phase": "Draining", "conditions": [{"type": "Ready", "status": "False", "reason": "Draining", "message": "3 reserved"}]}


class OnlyPings:
    """A Reconciler whose Redis answers no command."""

    async def retire(self, _: Resource, __: Mapping[str, Any]) -> None:
        raise Busy("it answers a PING")


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
        observe(handlers, generation)
        if len(queue):
            uid, lane = await queue.take()
            queue.done(uid)
            assert (uid, lane, generation in (3, 4)) == ("u1", Lane.EDITED, True)
    assert len(queue) == 0


async def test_resource_without_finalizer_is_queued_behind_the_others() -> None:
    handlers, queue = handlers_of(NeverDone())
    observe(handlers, 3, finalizers=["somebody/else"])
    assert await queue.take() == ("u1", Lane.NEW)
    queue.done("u1")
    # Its finalizer was removed by hand, and the generation is the same.
    observe(handlers, 3)
    observe(handlers, 3, finalizers=[])
    assert await queue.take() == ("u1", Lane.NEW)


def test_resource_that_is_being_deleted_is_not_queued() -> None:
    handlers, queue = handlers_of(NeverDone())
    observe(handlers, 3, deletionTimestamp="2026-08-01T12:00:00Z")
    assert len(queue) == 0


def test_new_resource_that_is_deleted_at_once_is_left_alone() -> None:
    handlers, _ = handlers_of(NeverDone())
    observe(handlers, 3, finalizers=["somebody/else"])
    observe(handlers, 3, finalizers=["somebody/else"], deletionTimestamp="2026-08-01T12:00:00Z")
    cached = handlers._cache.get("u1")
    assert cached is not None
    assert cached.deleting


@pytest.mark.parametrize(
    ("policy", "seconds", "ends", "gone"),
    [("Retain", 301, False, True), ("Retain", 299, False, False), ("Drain", 10**6, False, False), ("Drain", 301, True, True)],
)
async def test_deletion_without_redis_ends_in_time_only_if_no_hold_is_forgotten(
    policy: str, seconds: float, ends: bool, gone: bool
) -> None:
    redis = open_redis("redis://127.0.0.1:1/0", 1, 2)
    handlers, _ = handlers_of(Reconciler(SaleStore(redis, read_scripts(Path("lua")), 16, 1), (300,)), ends=ends)
    deleted = kopf.Body(cast("Any", body(deletionPolicy=policy) | {"status": {}}))
    with pytest.raises(kopf.TemporaryError):
        await handlers.on_delete(body=deleted, patch=kopf.Patch())
    cached = handlers._cached(deleted)
    assert cached.blocked_since is not None
    cached.blocked_since -= seconds
    if gone:
        await handlers.on_delete(body=deleted, patch=kopf.Patch())
        waiting = handlers._recorder._waiting
        reasons = [waiting.get_nowait()[1]["reason"] for _ in range(waiting.qsize())]
        assert reasons[-1] == "DeletedWithoutRedis"
        assert handlers._cache.get("u1") is None
    else:
        with pytest.raises(kopf.TemporaryError):
            await handlers.on_delete(body=deleted, patch=kopf.Patch())
    await redis.aclose()


async def test_redis_that_answers_in_between_begins_the_time_again() -> None:
    handlers, _ = handlers_of(NeverDone())
    deleted = kopf.Body(cast("Any", body(deletionPolicy="Retain") | {"status": {}}))
    cached = handlers._cached(deleted)
    cached.blocked_since = 1.0
    with pytest.raises(kopf.TemporaryError):
        await handlers.on_delete(body=deleted, patch=kopf.Patch())
    assert cached.blocked_since is None


async def test_redis_that_answers_only_a_ping_keeps_no_deletion_for_ever() -> None:
    handlers, _ = handlers_of(OnlyPings())
    deleted = kopf.Body(cast("Any", body(deletionPolicy="Retain") | {"status": {}}))
    with pytest.raises(kopf.TemporaryError):
        await handlers.on_delete(body=deleted, patch=kopf.Patch())
    cached = handlers._cached(deleted)
    assert cached.blocked_since is not None
    cached.blocked_since -= 301
    await handlers.on_delete(body=deleted, patch=kopf.Patch())
    assert handlers._cache.get("u1") is None


def handlers_of(reconciler: object, *, ends: bool = False) -> tuple[Handlers, WorkQueue]:
    async def post(_: str, __: dict[str, Any]) -> None:
        """Posted."""

    async def namespace_ends(_: Resource) -> bool:
        return ends

    queue = WorkQueue()
    variables = {"REDIS_URL": "redis://r", "FLASHSALE_LUA_DIR": ".", "FLASHSALE_OPERATOR_DELETE_WITHOUT_REDIS_SECONDS": "300"}
    settings = read_settings(Environment(variables))
    return Handlers(cast("Reconciler", reconciler), ResourceCache(), queue, Recorder(post), settings, namespace_ends), queue


def observe(handlers: Handlers, generation: int, **metadata: Any) -> None:
    document = body()
    document["metadata"] = document["metadata"] | {"generation": generation, "finalizers": [FINALIZER]} | metadata
    handlers.observe(document, "MODIFIED")


async def delay_of_deletion(**spec: Any) -> float:
    handlers, _ = handlers_of(NeverDone())
    with pytest.raises(kopf.TemporaryError) as raised:
        await handlers.on_delete(body=kopf.Body(cast("Any", body(**spec) | {"status": {}})), patch=kopf.Patch())
    assert raised.value.delay is not None
    return raised.value.delay
