"""Webhooks go only where they may, however the URL writes the address: a real server on loopback sees who connects."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from flashsale_notifier.addresses import parse_networks
from flashsale_notifier.client import Client

LOOPBACK = (
    "127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "127.0.0.1.", "127.0.0.01",
    # Digits and dots of other scripts, which the library turns into those of ASCII.
    "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "\u2460\u2461\u2466.0.0.1", "\u0660x7f.1",
    "\U0001d7cf\U0001d7d0\U0001d7d5.0.0.1",
)  # fmt: skip


class Server:
    def __init__(self) -> None:
        self.connections = 0
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    yield server
    listening.close()


async def status_of(url: str, allowed: str = "") -> tuple[int | None, str]:
    client = Client(url, parse_networks(allowed, "NETWORKS"), 5)
    try:
        answer = await client.post(b"{}", {})
    finally:
        await client.close()
    return answer.status, answer.text


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", LOOPBACK)
async def test_nothing_connects_to_an_address_that_is_not_allowed(server: Server, scheme: str, host: str) -> None:
    status, text = await status_of(f"{scheme}://{host}:{server.port}/")
    assert (status, bool(text), server.connections) == (None, True, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_allowed_address_gets_the_webhook(server: Server, host: str) -> None:
    assert await status_of(f"http://{host}:{server.port}/", "127.0.0.0/8") == (204, "")
    assert server.connections == 1


async def test_refused_address_is_named_with_the_setting(server: Server) -> None:
    _, text = await status_of(f"https://127.0.0.1:{server.port}/")
    assert text == "127.0.0.1 is not an address of the internet; to allow it, add its network to FLASHSALE_NOTIFIER_ALLOWED_NETWORKS"
