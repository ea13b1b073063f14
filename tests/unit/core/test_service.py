import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flashsale_core.service import run_until_signal
from flashsale_core.supervise import Supervisor


@contextmanager
def noted(events: list[str]) -> Iterator[None]:
    events.append("probes open")
    yield
    events.append("probes closed")


def task(supervisor: Supervisor, events: list[str]) -> None:
    async def run() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            events.append("task ended")

    supervisor.start("task", run)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_ends_the_work_then_the_probes_then_the_tasks(number: signal.Signals) -> None:
    events: list[str] = []
    supervisor = Supervisor()

    async def work(stop: asyncio.Event) -> None:
        task(supervisor, events)
        await asyncio.sleep(0)
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.wait(), 10)
        events.append("work done")

    await run_until_signal(work, supervisor, noted(events))
    assert events == ["probes open", "work done", "probes closed", "task ended"]


async def test_tasks_end_when_the_work_fails() -> None:
    events: list[str] = []
    supervisor = Supervisor()

    async def work(stop: asyncio.Event) -> None:
        task(supervisor, events)
        await asyncio.sleep(0)
        raise ConnectionError("Postgres is away")

    with pytest.raises(ConnectionError, match="Postgres is away"):
        await run_until_signal(work, supervisor, noted(events))
    assert events == ["probes open", "task ended"]
