"""The watch over the master that Sentinels name. Sentinels and pool are in memory."""

import asyncio
from typing import Any, cast

import pytest

from flashsale_core.tasks import cancel_and_wait
from flashsale_redis import followed
from flashsale_redis.followed import Followed
from flashsale_redis.urls import Address
from tests.waiting import until

NEW: Address = ("new", 6379)


class Parts:
    """Sentinels whose first reply cannot be read, and a pool."""

    def __init__(self) -> None:
        self.replies: list[Exception] = [KeyError("config-epoch")]
        self.kept: list[Address] = []

    async def master(self) -> Address:
        if self.replies:
            raise self.replies.pop()
        return NEW

    async def keep_only(self, address: Address) -> bool:
        self.kept.append(address)
        return True


async def test_watch_goes_on_after_an_unforeseen_reply(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(followed, "WATCH_EVERY_SECONDS", 0.001)
    client, parts = Followed.__new__(Followed), Parts()
    client._sentinels = cast("Any", parts)
    client._pool = cast("Any", parts)
    watching = asyncio.create_task(client._watch())
    await until(lambda: parts.kept, 5)
    await cancel_and_wait(watching)
    assert parts.kept[0] == NEW
    assert caplog.records[0].message == "redis.watch_failed"
