"""An idle connection that was reset is replaced. A command on it raises ConnectionError, also under uvloop, which has its own error."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from flashsale_redis import open_redis
from tests.waiting import until

NO_LINGER = struct.pack("ii", 1, 0)
TIMEOUT_SECONDS = 10.0


def test_command_after_a_reset_raises_connection_error() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_send_after_reset())


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_idle_connection_that_was_reset_is_replaced(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_use_after_reset())


async def _use_after_reset() -> None:
    async with _server() as (redis, accepted):
        pool: Any = redis.connection_pool
        connection = await pool.get_connection()
        await pool.release(connection)
        await _reset(accepted.get_nowait())
        await until(connection._writer.transport.is_closing)
        assert await redis.execute_command("ECHO", "text") == b"OK"  # type: ignore[no-untyped-call]
        assert (accepted.qsize(), await pool.get_connection()) == (1, connection)


async def _send_after_reset() -> None:
    async with _server() as (redis, accepted):
        connection: Any = redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        await connection.connect()
        await _reset(accepted.get_nowait())
        await until(connection._writer.transport.is_closing)
        with pytest.raises(RedisConnectionError):
            await connection.send_command("PING")


@asynccontextmanager
async def _server() -> AsyncIterator[tuple[Redis, asyncio.Queue[asyncio.StreamWriter]]]:
    """A client of a server, with one connection, and those that the server accepted."""
    accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    async with await asyncio.start_server(lambda reader, writer: _accept_all(accepted, reader, writer), "127.0.0.1", 0) as server:
        (port,) = [address.getsockname()[1] for address in server.sockets]
        redis = open_redis(f"redis://127.0.0.1:{port}", TIMEOUT_SECONDS, 1)
        try:
            yield redis, accepted
        finally:
            await redis.aclose()
            while not accepted.empty():
                accepted.get_nowait().close()


async def _accept_all(accepted: asyncio.Queue[asyncio.StreamWriter], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers OK to each command."""
    accepted.put_nowait(writer)
    while piece := await reader.read(1000):
        writer.write(b"+OK\r\n" * piece.count(b"*"))


async def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    writer.transport.abort()
