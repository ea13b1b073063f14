"""A consumer whose sessions fail at once pauses longer and longer between them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flashsale_consumer import Consumer, ConsumerSettings, Delivery, Poison, consumer
from flashsale_core import backoff
from flashsale_core.tasks import cancel_and_wait


class FailingConsumer(Consumer):
    """A consumer whose sessions begin well and fail with their first batch."""

    sessions = 0

    async def _session(self, *_: Any) -> None:
        self.sessions += 1
        self.fault = None
        raise ConnectionError("the parking queue is full")


@asynccontextmanager
async def connected(_: ConsumerSettings) -> AsyncIterator[None]:
    yield


async def handle(_: Sequence[Delivery]) -> Sequence[Poison]:
    return []


async def test_pauses_grow_while_sessions_fail_with_their_first_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "RECONNECT_PAUSES_SECONDS", (0.0, 0.0, 3600.0))
    monkeypatch.setattr(consumer, "_channel", connected)
    failing = FailingConsumer(ConsumerSettings("amqp://a", "orders", 1, 1, 1, 1), handle)
    consuming = asyncio.create_task(failing.run())
    for _ in range(100):
        await asyncio.sleep(0)
    await cancel_and_wait(consuming)
    assert failing.sessions == 3
