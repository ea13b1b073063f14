"""Connections of a pool: an idle one is taken at once, a closed one is replaced, and those who wait for one come first."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from flashsale_redis import open_redis
from tests.waiting import until

TIMEOUT_SECONDS = 10.0
LARGE = b"x" * 32_000_000


class Server:
    """Answers OK to each command once `reads` is set."""

    def __init__(self) -> None:
        self.writers: list[asyncio.StreamWriter] = []
        self.reads = asyncio.Event()
        self.reads.set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while piece := await reader.read(1000):
                writer.write(b"+OK\r\n" * piece.count(b"*"))
                await self.reads.wait()
        finally:
            writer.close()


def client_of(listening: asyncio.Server, timeout_seconds: float) -> Any:
    """A client with one connection."""
    return open_redis(f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}", timeout_seconds, 1)


async def test_idle_connection_is_used_again_and_a_closed_one_replaced() -> None:
    server = Server()
    async with await asyncio.start_server(server, "127.0.0.1", 0) as listening:
        redis = client_of(listening, TIMEOUT_SECONDS)
        connections = []
        for _ in range(2):
            connection = await redis.connection_pool.get_connection()
            connections.append(connection)
            await redis.connection_pool.release(connection)
        assert (connections[0] is connections[1], len(server.writers)) == (True, 1)
        server.writers[0].close()
        await until(lambda: connections[0]._reader.at_eof())
        assert await redis.execute_command("ECHO", "text") == b"OK"
        assert len(server.writers) == 2
        await redis.aclose()


async def test_caller_that_waits_is_not_overtaken() -> None:
    async with await asyncio.start_server(Server(), "127.0.0.1", 0) as listening:
        redis = client_of(listening, TIMEOUT_SECONDS)
        pool, order = redis.connection_pool, list[str]()

        async def use(name: str) -> None:
            connection = await pool.get_connection()
            order.append(name)
            await pool.release(connection)

        held = await pool.get_connection()
        first = asyncio.create_task(use("first"))
        await until(lambda: pool.waiting == 1)
        await pool.release(held)
        await asyncio.gather(use("second"), first)
        assert order == ["first", "second"]
        await redis.aclose()


async def test_pool_without_a_free_connection_refuses_after_its_limit() -> None:
    async with await asyncio.start_server(Server(), "127.0.0.1", 0) as listening:
        redis = client_of(listening, 0.2)
        held = await redis.connection_pool.get_connection()
        with pytest.raises(RedisConnectionError, match="No connection available"):
            await redis.connection_pool.get_connection()
        await redis.connection_pool.release(held)
        await redis.aclose()


async def test_command_that_the_server_does_not_read_ends_at_the_limit() -> None:
    server = Server()
    async with await asyncio.start_server(server, "127.0.0.1", 0) as listening:
        redis = client_of(listening, 0.2)
        connection = await redis.connection_pool.get_connection()
        server.reads.clear()
        with pytest.raises(RedisTimeoutError, match="Timeout writing"):
            await connection.send_command("SET", "key", LARGE)
        assert not connection.is_connected
        server.reads.set()
        await redis.aclose()
