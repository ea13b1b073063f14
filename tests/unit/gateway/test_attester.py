import asyncio
from collections import Counter
from collections.abc import Sequence
from math import isnan
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import Gauge

from flashsale_core.tasks import cancel_and_wait
from flashsale_gateway import attester as module
from flashsale_gateway import metrics
from flashsale_gateway.attester import Attester
from tests.fences import open_history

SLOW, FAST = [0], [1]
WAIT_SECONDS = 60.0


class TwoMasters(Attester):
    """An attester of a cluster whose first master hangs."""

    def __init__(self) -> None:
        nobody: Any = None
        settings: Any = SimpleNamespace(redis_timeout_seconds=1.0, shards=2)
        super().__init__(nobody, nobody, settings, open_history(2), nobody, "g")
        self._groups, self._wakes = [SLOW, FAST], [asyncio.Event(), asyncio.Event()]
        self._silent = {SLOW[0], FAST[0]}
        self.calls: Counter[int] = Counter()
        self.is_enough = asyncio.Event()

    async def _attest(self, shards: Sequence[int]) -> bool:
        self.calls[shards[0]] += 1
        if shards == SLOW:
            await asyncio.Event().wait()
        if self.calls[shards[0]] == 3:
            self.is_enough.set()
        return True


async def test_master_that_hangs_keeps_the_others_attested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OPEN_PAUSE_SECONDS", 0.0)
    attester = TwoMasters()
    running = asyncio.create_task(attester.run())
    await asyncio.wait_for(attester.is_enough.wait(), WAIT_SECONDS)
    assert attester.calls[SLOW[0]] == 1
    await cancel_and_wait(running)


class Scripted(TwoMasters):
    """Each master answers as its list says, and then as the list ends."""

    def __init__(self, slow: list[bool], fast: list[bool]) -> None:
        super().__init__()
        self.answers = {SLOW[0]: slow, FAST[0]: fast}

    async def _attest(self, shards: Sequence[int]) -> bool:
        self.calls[shards[0]] += 1
        if min(self.calls.values()) > 3 and len(self.calls) == 2:
            self.is_enough.set()
        answers = self.answers[shards[0]]
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.mark.parametrize(
    ("slow", "fast", "up"),
    [([True], [True], 1), ([False, True], [True], 1), ([True], [True, False], 0), ([False], [False], 0)],
)
async def test_redis_is_up_while_every_master_answers(slow: list[bool], fast: list[bool], up: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OPEN_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(module, "FENCED_PAUSE_SECONDS", 0.0)
    metrics.REDIS_UP.set(1 - up)
    attester = Scripted(slow, fast)
    running = asyncio.create_task(attester.run())
    await asyncio.wait_for(attester.is_enough.wait(), WAIT_SECONDS)
    await cancel_and_wait(running)
    assert value_of(metrics.REDIS_UP) == up


@pytest.mark.parametrize(("slow", "fast", "closed"), [(True, True, 3), (False, True, 2), (True, False, 1), (False, False, None)])
async def test_closed_shards_of_silent_masters_are_not_counted(slow: bool, fast: bool, closed: int | None) -> None:
    attester, two = Scripted([slow], [fast]), [1, 2]
    attester._groups, attester._history = [SLOW, two], open_history(3)
    for shard in (*SLOW, *two):
        attester._history.observe(shard, "fenced")
    metrics.FENCED_SHARDS.set(9)
    attester._measure(SLOW, slow)
    attester._measure(two, fast)
    counted = value_of(metrics.FENCED_SHARDS)
    assert (None if isnan(counted) else counted) == closed


def value_of(gauge: Gauge) -> float:
    ((sample,),) = [metric.samples for metric in gauge.collect()]
    return float(sample.value)
