"""What the console reads of Redis, and when it does not trust it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from flashsale_console import live_sales
from flashsale_console.live_sales import LiveSales
from tests.unit.console.test_settings import settings

OPEN_FENCE = {b"state": b"open", b"replid": b"now", b"incarnation": b"1"}


@pytest.fixture
async def live() -> AsyncIterator[LiveSales]:
    live = LiveSales(settings(FLASHSALE_SHARDS="1"))
    yield live
    await live.close()


@pytest.mark.parametrize(
    ("fence", "history", "is_open"),
    [
        (OPEN_FENCE, "now", True),
        (OPEN_FENCE | {b"state": b"draining"}, "now", False),
        ({}, "now", False),
        (OPEN_FENCE, "after a restart", False),
        (OPEN_FENCE, "", True),
        (OPEN_FENCE | {b"replid": b""}, "now", True),
    ],
    ids=["open", "closed", "missing", "of a Redis that restarted", "INFO refused here", "INFO refused to all"],
)
async def test_sale_is_open_only_behind_an_open_fence_of_this_redis(
    live: LiveSales, monkeypatch: pytest.MonkeyPatch, fence: Mapping[bytes, bytes], history: str, is_open: bool
) -> None:
    async def pipelined(commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        return [fence if command[1].endswith("fence") else {b"state": b"open"} for command in commands]

    async def history_near(*_: Any) -> str:
        return history

    monkeypatch.setattr(live, "_pipelined", pipelined)
    monkeypatch.setattr(live_sales, "history_near", history_near)
    assert await live.sale("tv") == ({"state": "open"}, is_open)
