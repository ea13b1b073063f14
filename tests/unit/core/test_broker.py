import asyncio
from typing import Any

import pytest

from flashsale_core.broker import HEARTBEAT_SECONDS, broker_session, connect_to_first

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


async def test_node_that_does_not_answer_is_left_for_the_next_one(caplog: pytest.LogCaptureFixture) -> None:
    connection, tried = Connection(), list[str]()

    async def connecting(url: str, **_: Any) -> Connection:
        tried.append(url)
        return await connect(connection, seconds=60 if url == "amqp://dead" else 0)

    assert await connect_to_first(connecting, ["amqp://dead", "amqp://alive", "amqp://spare"], 0.01) is connection
    assert tried == ["amqp://dead", "amqp://alive"]
    assert [(record.message, vars(record)["node"]) for record in caplog.records] == [("broker.node_failed", "dead")]


async def test_error_names_each_node_and_its_reason_without_a_password() -> None:
    async def connecting(url: str, **_: Any) -> Connection:
        if "cancels" in url:
            # As aiormq does to what waits for a connection that it gives up.
            raise asyncio.CancelledError
        raise OSError("refused")

    with pytest.raises(ConnectionError) as failed:
        await connect_to_first(connecting, ["amqp://u:secret@a:1/", "amqp://u:secret@cancels/"], 1)
    assert str(failed.value) == ("no node can be reached (a:1: OSError: refused; cancels: ConnectionAbortedError: the connection was lost)")


async def test_every_node_is_tried_first_now_and_then() -> None:
    first = set()

    async def connecting(url: str, **_: Any) -> Connection:
        first.add(url)
        return Connection()

    for _ in range(200):
        async with broker_session(connecting, "amqp://a,b,c/", 10):
            pass
    assert first == {"amqp://a/", "amqp://b/", "amqp://c/"}
