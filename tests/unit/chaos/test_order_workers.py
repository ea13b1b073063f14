"""Faults hit one of the two order-workers or both, so that a queue is drained by one, by the other, or by none."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest

from flashsale_chaos.faults import Fault
from flashsale_chaos.further import ORDER_WORKER_2, ORDER_WORKERS
from flashsale_chaos.inject import kill, struck
from flashsale_chaos.servers.unpublished import TURNS


@dataclass
class FakeBench:
    done: list[str] = field(default_factory=list)
    locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def kill(self, target: str) -> None:
        assert self.locks[target].locked()
        self.done.append(f"kill {target}")

    async def launch(self, target: str) -> None:
        self.done.append(f"launch {target}")


def fault(number: int, target: str) -> Fault:
    return Fault(number, 0.0, "kill", target, 0.0, 0)


def test_every_third_fault_of_an_order_worker_hits_both() -> None:
    hit = [struck(fault(number, "order-worker")) for number in range(3)]
    assert hit == [("order-worker",), (ORDER_WORKER_2,), ORDER_WORKERS]
    assert struck(fault(2, "gateway")) == ("gateway",)


async def test_processes_that_die_together_start_again_together() -> None:
    bench: Any = FakeBench()
    await kill(bench, fault(2, "order-worker"))
    assert bench.done == [f"{what} {name}" for what in ("kill", "launch") for name in ORDER_WORKERS]


@pytest.mark.parametrize("stopped", [ORDER_WORKERS, (ORDER_WORKER_2,)])
def test_losses_meet_a_queue_that_stands_and_a_worker_that_stands(stopped: tuple[str, ...]) -> None:
    assert sum(turn.stopped == stopped for turn in TURNS) == 1
