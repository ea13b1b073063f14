"""A broker that lets a consumer in and fails it at once is not asked again and again without a pause that grows."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flashsale_consumer import Consumer, ConsumerSettings, Delivery, Poison, consumer
from flashsale_core import backoff
from flashsale_core.tasks import cancel_and_wait


class Refused(Consumer):
    """Each session begins well, and fails with its first batch."""

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


async def test_sessions_that_fail_with_their_first_batch_pause_longer_and_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "RECONNECT_PAUSES_SECONDS", (0.0, 0.0, 3600.0))
    monkeypatch.setattr(consumer, "_channel", connected)
    refused = Refused(ConsumerSettings("amqp://a", "orders", 1, 1, 1, 1), handle)
    consuming = asyncio.create_task(refused.run())
    for _ in range(100):
        await asyncio.sleep(0)
    await cancel_and_wait(consuming)
    assert refused.sessions == 3
