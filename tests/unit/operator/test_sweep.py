"""The sweep as the liveness probe sees it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from flashsale_core.errors import Retryable
from flashsale_core.settings import Environment
from flashsale_core.tasks import cancel_and_wait
from flashsale_operator import metrics
from flashsale_operator.availability import Busy
from flashsale_operator.cache import ResourceCache
from flashsale_operator.reconcile import Reconciler
from flashsale_operator.settings import Settings, read_settings
from flashsale_operator.sweep import WAKES_MAX, Sweep, pause_seconds
from flashsale_operator.work_queue import WorkQueue
from tests.unit.operator.test_controller import KEPT


class Redis:
    """A Redis that is away, or that never answers, behind the Reconciler methods that the sweep calls first."""

    def __init__(self, *, silent: bool) -> None:
        self.asked = 0
        self._silent = silent

    async def check_durability(self) -> None:
        await self.read(())

    async def read(self, _: Sequence[str]) -> list[dict[str, str]]:
        self.asked += 1
        if self._silent:
            await asyncio.Event().wait()
        raise Retryable("Redis: refused")


def settings(folder: Path) -> Settings:
    return replace(read_settings(Environment({"REDIS_URL": "redis://r", "FLASHSALE_LUA_DIR": str(folder)})), reconcile_seconds=0.01)


def sweep_of(redis: Redis, folder: Path) -> Sweep:
    cache = ResourceCache()
    cache.get_or_add(KEPT, {})
    return Sweep(cast("Reconciler", redis), cache, WorkQueue(), settings(folder))


class FailingRedis(Redis):
    def __init__(self, error: Retryable) -> None:
        super().__init__(silent=False)
        self._error = error

    async def read(self, _: Sequence[str]) -> list[dict[str, str]]:
        self.asked += 1
        raise self._error


async def queued_after_sweeps(error: Retryable, folder: Path) -> int:
    """How many of 3,000 resources two failed sweeps have queued."""
    redis, cache, queue = FailingRedis(error), ResourceCache(), WorkQueue()
    for number in range(3000):
        cache.get_or_add(replace(KEPT, uid=f"u{number}"), {})
    sweeping = asyncio.create_task(Sweep(cast("Reconciler", redis), cache, queue, settings(folder)).run())
    async with asyncio.timeout(5):
        while redis.asked < 3:  # noqa: ASYNC110 - what is waited for is a number that grows
            await asyncio.sleep(0.005)
    await cancel_and_wait(sweeping)
    return len(queue)


async def test_sweep_that_times_out_wakes_nothing(tmp_path: Path) -> None:
    assert await queued_after_sweeps(Busy("Redis: TimeoutError"), tmp_path) == 0


async def test_sweep_without_redis_wakes_a_bounded_number(tmp_path: Path) -> None:
    assert await queued_after_sweeps(Retryable("Redis: refused"), tmp_path) == WAKES_MAX


async def test_metrics_follow_the_statuses_while_redis_is_away(tmp_path: Path) -> None:
    metrics.OBJECT_CONDITION.clear()
    redis, cache = FailingRedis(Retryable("Redis: refused")), ResourceCache()
    sweep = Sweep(cast("Reconciler", redis), cache, WorkQueue(), settings(tmp_path))
    cached = cache.get_or_add(KEPT, {})
    for status, reason in (("True", "Reconciled"), ("False", "RedisUnavailable")):
        cached.status = {"phase": "Live", "conditions": [{"type": "Ready", "status": status, "reason": reason}]}
        with pytest.raises(Retryable):
            await sweep.sweep()
        (condition,), (phase,) = metrics.OBJECT_CONDITION.collect(), metrics.OBJECTS.collect()
        assert [(sample.labels["reason"], sample.value) for sample in condition.samples] == [(reason, status == "True")]
        assert {sample.labels["phase"]: sample.value for sample in phase.samples}["Live"] == 1


async def test_sweep_without_redis_is_alive(tmp_path: Path) -> None:
    redis = Redis(silent=False)
    sweep = sweep_of(redis, tmp_path)
    sweeping, started = asyncio.create_task(sweep.run()), asyncio.get_running_loop().time()
    async with asyncio.timeout(5):
        while redis.asked < 20:  # noqa: ASYNC110 - what is waited for is a number that grows
            await asyncio.sleep(0.005)
    assert sweep.silent_seconds() < asyncio.get_running_loop().time() - started - 0.1
    await cancel_and_wait(sweeping)


async def test_sweep_that_hangs_is_not_alive(tmp_path: Path) -> None:
    redis = Redis(silent=True)
    sweep = sweep_of(redis, tmp_path)
    assert sweep.silent_seconds() == 0
    sweeping = asyncio.create_task(sweep.run())
    await asyncio.sleep(0.2)
    assert (redis.asked, sweep.silent_seconds() >= 0.15) == (1, True)
    await cancel_and_wait(sweeping)


def test_long_sweeps_come_less_often_and_never_look_like_a_hanging_one(tmp_path: Path) -> None:
    every_5_s = replace(settings(tmp_path), reconcile_seconds=5, silence_seconds=60)
    assert [pause_seconds(took, every_5_s) for took in (0.01, 0.5, 1.0, 20.0)] == [5, 5, 9, 30]
    assert pause_seconds(1.0, replace(every_5_s, reconcile_seconds=100)) == 100
