import asyncio
from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from flashsale_core.tasks import cancel_and_wait
from flashsale_gateway import attester as module
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
