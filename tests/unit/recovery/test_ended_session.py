"""A Postgres that ends an idle connection, which nobody has noticed yet."""

import asyncio
import struct
from contextlib import suppress

import pytest

from flashsale_recovery.session import ERRORS, connect

BOUND_SECONDS = 10.0
ARRIVAL_SECONDS = 0.2


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


AUTHENTICATED = _message(b"R", struct.pack("!i", 0)) + _message(b"S", b"server_version\x0015.0\x00") + _message(b"Z", b"I")
DONE = _message(b"C", b"SET\0") + _message(b"Z", b"I")
ENDED = _message(b"E", b"SFATAL\0C57P01\0Mterminating connection due to administrator command\0\0")


async def test_connection_that_the_server_ended_is_an_outage_of_postgres() -> None:
    ending, served = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (size,) = struct.unpack("!i", await reader.readexactly(4))
        await reader.readexactly(size - 4)
        writer.write(AUTHENTICATED)
        await reader.read(1000)
        writer.write(DONE)
        await ending.wait()
        writer.write(ENDED)
        with suppress(ConnectionResetError):
            await reader.read()
        writer.close()
        served.set()

    server = await asyncio.start_server(serve, "127.0.0.1")
    url = f"postgresql://keeper@127.0.0.1:{server.sockets[0].getsockname()[1]}/flashsale?sslmode=disable"
    connection = await connect(url, BOUND_SECONDS, 0)
    ending.set()
    # It is read while nobody asks: asyncpg then refuses the next query with an error that is not one of the server.
    await asyncio.sleep(ARRIVAL_SECONDS)
    try:
        with pytest.raises(ERRORS):
            await connection.fetchval("select 1")
    finally:
        connection.terminate()
        await asyncio.wait_for(served.wait(), BOUND_SECONDS)
        server.close()
