"""The links of chaos, between a client and an echoing server on loopback."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from flashsale_chaos.network import Link, Mode

SOON_SECONDS = 0.05
BOUND_SECONDS = 5.0
HELD_BYTES_MAX = 6_000_000
"""Far above what the buffers of a link and of two sockets keep, far below what the test offers."""


class Echo:
    def __init__(self) -> None:
        self.received = b""
        self.ended = asyncio.Event()
        self.reset = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65_536):
                self.received += piece
                writer.write(piece)
                await writer.drain()
        except ConnectionResetError:
            self.reset = True
        self.ended.set()
        writer.close()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, question: bytes) -> bytes:
        self.writer.write(question)
        return await asyncio.wait_for(self.reader.readexactly(len(question)), BOUND_SECONDS)

    async def says_nothing(self) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.reader.read(1), SOON_SECONDS)
            return False
        return True


@asynccontextmanager
async def _linked() -> AsyncIterator[tuple[Link, Echo]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1")
    link = Link(server.sockets[0].getsockname())
    await link.start()
    try:
        yield link, echo
    finally:
        await link.close()
        server.close()


@asynccontextmanager
async def _client(link: Link) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


async def test_plain_link_passes_bytes_and_the_end() -> None:
    async with _linked() as (link, echo), _client(link) as client:
        sent = bytes(range(256)) * 4000
        assert await client.ask(sent) == sent
        client.writer.write_eof()
        assert await client.reader.read() == b""
        assert echo.received == sent


async def test_delay_applies_in_both_directions() -> None:
    async with _linked() as (link, _), _client(link) as client:
        with link.disturbed(Mode(delay_ms=60)):
            began = time.monotonic()
            assert await client.ask(b"slow") == b"slow"
            assert time.monotonic() - began >= 0.12


async def test_what_clients_sent_passes_after_the_hold() -> None:
    async with _linked() as (link, echo), _client(link) as client:
        with link.disturbed(Mode(hold_up=True)):
            client.writer.write(b"late")
            client.writer.write_eof()
            assert await client.says_nothing()
            assert (echo.received, echo.ended.is_set()) == (b"", False)
        assert await client.reader.read() == b"late"


async def test_server_acts_on_a_request_whose_answer_is_held() -> None:
    async with _linked() as (link, echo), _client(link) as client:
        with link.disturbed(Mode(hold_down=True)):
            client.writer.write(b"done")
            assert await client.says_nothing()
            assert echo.received == b"done"
        assert await client.ask(b"!") == b"d"


async def test_lossy_hold_ends_with_a_reset() -> None:
    async with _linked() as (link, echo), _client(link) as client:
        with link.disturbed(Mode(hold_up=True, lossy=True)):
            client.writer.write(b"lost")
            assert await client.says_nothing()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(client.reader.read(1), BOUND_SECONDS)
        assert echo.received == b""


async def test_cut_passes_exactly_the_named_bytes() -> None:
    async with _linked() as (link, echo), _client(link) as client:
        assert await client.ask(b"before") == b"before"
        with link.disturbed(Mode(cut_after_bytes=7)):
            client.writer.write(b"0123456789")
            with suppress(ConnectionResetError):
                await asyncio.wait_for(client.reader.read(), BOUND_SECONDS)
            await asyncio.wait_for(echo.ended.wait(), BOUND_SECONDS)
        assert echo.received == b"before0123456"


async def test_refusing_link_resets_old_and_new_connections() -> None:
    async with _linked() as (link, echo), _client(link) as client:
        assert await client.ask(b"up") == b"up"
        with link.disturbed(Mode(refuse=True)):
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(client.reader.read(1), BOUND_SECONDS)
            with suppress(ConnectionResetError):
                async with _client(link) as late:
                    assert await late.ask(b"x") == b"never"
        await asyncio.wait_for(echo.ended.wait(), BOUND_SECONDS)
        assert echo.reset
        async with _client(link) as healed:
            assert await healed.ask(b"again") == b"again"


async def test_black_hole_accepts_and_answers_later() -> None:
    async with _linked() as (link, echo):
        with link.disturbed(Mode(hold_up=True, hold_down=True)):
            async with _client(link) as client:
                client.writer.write(b"q")
                assert await client.says_nothing()
                assert echo.received == b""
                link.heal()
                assert await asyncio.wait_for(client.reader.read(1), BOUND_SECONDS) == b"q"


async def test_one_disturbance_ends_and_the_other_stays() -> None:
    async with _linked() as (link, _):
        with link.disturbed(Mode(delay_ms=9)):
            with link.disturbed(Mode(hold_up=True)):
                assert link.mode == Mode(delay_ms=9, hold_up=True)
            assert link.mode == Mode(delay_ms=9)
        assert link.mode == Mode()


async def test_new_connections_follow_a_changed_target() -> None:
    async with _linked() as (link, old), _linked() as (other, new), _client(link) as client:
        assert await client.ask(b"old") == b"old"
        link.target = ("127.0.0.1", other.port)
        async with _client(link) as moved:
            assert await moved.ask(b"new") == b"new"
        assert await client.ask(b"!") == b"!"
        assert (old.received, new.received) == (b"old!", b"new")


async def test_held_link_keeps_a_bounded_number_of_bytes() -> None:
    async with _linked() as (link, _), _client(link) as client:
        with link.disturbed(Mode(hold_up=True)):
            sent = 0
            with suppress(TimeoutError):
                while sent < 4 * HELD_BYTES_MAX:
                    client.writer.write(bytes(65_536))
                    await asyncio.wait_for(client.writer.drain(), 0.3)
                    sent += 65_536
            assert sent < HELD_BYTES_MAX


async def test_closed_link_leaves_no_connection() -> None:
    async with _linked() as (link, echo), _client(link) as client:
        assert await client.ask(b"x") == b"x"
        await link.close()
        await asyncio.wait_for(echo.ended.wait(), BOUND_SECONDS)
        assert link.connections == 0
