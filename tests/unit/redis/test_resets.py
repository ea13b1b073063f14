"""A command on a connection that was reset fails with ConnectionError, also under uvloop, which refuses the write by RuntimeError."""

import asyncio
import socket
import struct
from typing import Any

import pytest
import uvloop
from redis.exceptions import ConnectionError as RedisConnectionError

from flashsale_redis import open_redis
from tests.waiting import until

NO_LINGER = struct.pack("ii", 1, 0)
TIMEOUT_SECONDS = 10.0


def test_command_after_a_reset_raises_connection_error() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_send_after_reset())


async def _send_after_reset() -> None:
    accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    async with await asyncio.start_server(lambda reader, writer: _accept_all(accepted, reader, writer), "127.0.0.1", 0) as server:
        (port,) = [address.getsockname()[1] for address in server.sockets]
        redis = open_redis(f"redis://127.0.0.1:{port}", TIMEOUT_SECONDS, 1)
        connection: Any = redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        await connection.connect()
        await _reset(accepted.get_nowait())
        await until(connection._writer.transport.is_closing)
        with pytest.raises(RedisConnectionError):
            await connection.send_command("PING")


async def _accept_all(accepted: asyncio.Queue[asyncio.StreamWriter], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers OK to each command."""
    accepted.put_nowait(writer)
    while piece := await reader.read(1000):
        writer.write(b"+OK\r\n" * piece.count(b"*"))


async def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    writer.transport.abort()
