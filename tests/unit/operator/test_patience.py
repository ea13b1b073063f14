"""A time limit that a slow event loop does not use up."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from flashsale_core.tasks import cancel_and_wait
from flashsale_operator import patience
from flashsale_operator.patience import patiently

TURN_SECONDS = 0.04
LIMIT_SECONDS = 0.2


@asynccontextmanager
async def slow_loop(turn_seconds: float = TURN_SECONDS) -> AsyncIterator[list[float]]:
    """Each turn of the event loop takes this long, as if thousands of FlashSales were being handled. Yields the turns so far."""
    taken: list[float] = []

    async def block() -> None:
        while True:
            time.sleep(turn_seconds)  # noqa: ASYNC251 - the point is that it blocks
            taken.append(turn_seconds)
            await asyncio.sleep(0)

    blocking = asyncio.create_task(block())
    try:
        yield taken
    finally:
        await cancel_and_wait(blocking)


async def turns(count: int) -> None:
    """What is answered at once, and read after this many turns of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def short_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "TICK_SECONDS", 0.01)


async def test_answer_that_a_slow_loop_reads_late_is_in_time() -> None:
    async with slow_loop():
        started = time.monotonic()
        async with patiently(LIMIT_SECONDS):
            await turns(8)
        assert time.monotonic() - started > LIMIT_SECONDS


async def test_limit_ends_in_time_while_the_loop_is_idle() -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        async with patiently(LIMIT_SECONDS):
            await asyncio.Event().wait()
    assert LIMIT_SECONDS <= time.monotonic() - started < patience.STRETCH_MAX * LIMIT_SECONDS


async def test_limit_ends_however_slow_the_loop_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "STRETCH_MAX", 2.0)
    async with slow_loop() as taken:
        with pytest.raises(TimeoutError):
            async with patiently(LIMIT_SECONDS):
                await asyncio.Event().wait()
        # Without that bound it would end after twenty ticks, of which each waits for a turn.
        assert len(taken) < LIMIT_SECONDS / patience.TICK_SECONDS


async def test_cancellation_from_outside_is_no_timeout() -> None:
    async def wait() -> None:
        async with patiently(60):
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
