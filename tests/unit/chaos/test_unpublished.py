"""How long entries are kept back before a loss of Redis."""

import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flashsale_chaos.servers import unpublished
from tests import waiting

until = partial(waiting.until, timeout_seconds=30)


@pytest.fixture
def worker() -> Iterator[int]:
    process = subprocess.Popen(["sleep", "60"])
    yield process.pid
    process.kill()
    process.wait(10)


def stands_still(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("T")


@pytest.mark.parametrize("is_open", [True, False])
async def test_services_stand_still_before_a_loss_unless_redis_closes(worker: int, monkeypatch: pytest.MonkeyPatch, is_open: bool) -> None:
    """A recovery that begins again needs them."""
    monkeypatch.setattr(unpublished, "HELD_SECONDS", 0.05)
    bench: Any = SimpleNamespace(links={}, stack=SimpleNamespace(is_open=is_open), pids=lambda _: [worker])
    number = unpublished.TURNS.index(unpublished.QUEUE_STANDS)
    async with unpublished.kept_back(bench, number):
        await until(lambda: stands_still(worker) == is_open)
    await until(lambda: not stands_still(worker))
