"""Losses that come alone wait until Redis has sold since the one before; among other faults they overlap."""

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from flashsale_chaos.faults import Fault
from flashsale_chaos.machine import ImpossibleError
from flashsale_chaos.schedule import make
from flashsale_chaos.servers import turns
from flashsale_chaos.servers.turns import in_turn

FAULT = Fault(1, 0.0, "redis.lost_disk", "redis", 0.0, 0)


@dataclass
class FakeBench:
    losses_only: bool = True
    sold: float = 1e12
    is_open: bool = True
    losses: list[Any] = field(default_factory=list)
    locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    unsold_at: float = 0.0
    running: int = 0
    most: int = 0

    @property
    def stack(self) -> Any:
        return SimpleNamespace(is_open=self.is_open)

    def sold_at(self) -> float:
        return self.sold


async def inject(bench: Any, _: Fault) -> None:
    bench.running += 1
    bench.most = max(bench.most, bench.running)
    await asyncio.sleep(0.01)
    bench.running -= 1


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def at_once(_: Any, turn: int) -> Any:
        yield float(turn)

    monkeypatch.setattr(turns, "kept_back", at_once)
    monkeypatch.setattr(turns, "SOLD_SECONDS", 0.05)


@pytest.mark.parametrize(("losses_only", "most"), [(True, 1), (False, 3)])
async def test_losses_come_one_at_a_time_only_without_other_faults(*, losses_only: bool, most: int) -> None:
    bench: Any = FakeBench(losses_only)
    await asyncio.gather(*[in_turn(inject)(bench, FAULT) for _ in range(3)])
    assert bench.most == most


@pytest.mark.parametrize("bench", [FakeBench(is_open=False), FakeBench(sold=5.0, losses=[SimpleNamespace(at=5.0)])])
async def test_redis_that_does_not_sell_again_is_not_lost_once_more(bench: Any) -> None:
    with pytest.raises(ImpossibleError, match="was not open and selling"):
        await in_turn(inject)(bench, FAULT)
    assert bench.most == 0


async def test_losses_after_one_that_waited_in_vain_wait_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    bench: Any = FakeBench(is_open=False, sold=1.0)
    with pytest.raises(ImpossibleError):
        await in_turn(inject)(bench, FAULT)
    monkeypatch.setattr(turns, "SOLD_SECONDS", 1000.0)
    monkeypatch.setattr(turns, "FURTHER_SECONDS", 0.05)
    with pytest.raises(ImpossibleError):
        await in_turn(inject)(bench, FAULT)


def test_schedule_knows_whether_it_has_only_losses() -> None:
    losses = ("redis.lost_disk", "redis.old_volume", "redis.stale_promotion")
    assert (make(1, 20, losses).losses_only, make(1, 20, (*losses, "kill")).losses_only) == (True, False)
