import asyncio
from typing import Any

import pytest

from flashsale_core.broker import HEARTBEAT_SECONDS, broker_session

URL = "amqp://broker"


class Connection:
    closed = False

    def __init__(self, closing_seconds: float = 0) -> None:
        self.closing_seconds = closing_seconds

    async def close(self) -> None:
        self.closed = True
        await asyncio.sleep(self.closing_seconds)


async def connect(connection: Connection, seconds: float = 0) -> Connection:
    await asyncio.sleep(seconds)
    return connection


async def test_connection_is_closed_after_the_block_fails() -> None:
    connection, calls = Connection(), []

    async def connecting(url: str, **options: Any) -> Connection:
        calls.append((url, options))
        return connection

    async def lose() -> None:
        async with broker_session(connecting, URL, 10) as opened:
            assert (opened, opened.closed) == (connection, False)
            raise ConnectionError("lost")

    with pytest.raises(ConnectionError, match="lost"):
        await lose()
    assert (connection.closed, calls) == (True, [(URL, {"heartbeat": HEARTBEAT_SECONDS})])


async def test_connecting_has_a_timeout_with_a_name() -> None:
    with pytest.raises(TimeoutError, match=r"connecting took longer than 0\.01 s"):
        async with broker_session(lambda *_, **__: connect(Connection(), seconds=60), URL, 0.01):
            raise AssertionError("connected")


async def test_slow_closing_does_not_hold_up_the_caller() -> None:
    loop = asyncio.get_running_loop()
    async with broker_session(lambda *_, **__: connect(Connection(closing_seconds=60)), URL, 0.01):
        started = loop.time()
    assert loop.time() - started < 10
