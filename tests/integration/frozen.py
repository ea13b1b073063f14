"""Servers that freeze: a proxy in front of a real one reads what clients send, and stops forwarding at a chosen step."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pamqp.commands

ACCEPT = "accept"
"""Frozen from the beginning: connections are accepted, and nothing is forwarded."""
HEADER = "protocol header"
Read = Callable[[asyncio.StreamReader], AsyncIterator[tuple[str, bytes]]]
"""Splits what a client sends into (step, bytes)."""
_METHODS: dict[int, str] = {number: getattr(method, "name", "") for number, method in pamqp.commands.INDEX_MAPPING.items()}
_METHOD_FRAME = 1


class FreezingServer:
    """Freezes like a stopped process: connections stay open, new ones are accepted, and no byte is forwarded."""

    def __init__(self, address: tuple[str, int], read: Read, step: str, nth: int) -> None:
        self._address = address
        self._read = read
        self._step, self._nth = step, nth
        self._steps_received: Counter[str] = Counter()
        self._writers: list[asyncio.StreamWriter] = []
        self._thawed = False
        self.frozen = asyncio.Event()
        if step == ACCEPT:
            self.frozen.set()

    def thaw(self) -> None:
        """Serve new connections from now on. Existing ones stay frozen."""
        self._thawed = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        may_freeze = not self.frozen.is_set()
        if not may_freeze and not self._thawed:
            return
        upstream_reader, upstream_writer = await asyncio.open_connection(*self._address)
        self._writers.append(upstream_writer)

        def stopped() -> bool:
            return may_freeze and self.frozen.is_set()

        with suppress(OSError, asyncio.IncompleteReadError):
            await asyncio.gather(self._up(reader, upstream_writer, stopped), _down(upstream_reader, writer, stopped))
        if not stopped():
            writer.close()
            upstream_writer.close()

    async def _up(self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter, stopped: Callable[[], bool]) -> None:
        async for step, piece in self._read(reader):
            self._steps_received[step] += 1
            if not self._thawed and step == self._step and self._steps_received[step] == self._nth:
                self.frozen.set()
            if stopped():
                return
            upstream.write(piece)
        upstream.close()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


async def _down(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stopped: Callable[[], bool]) -> None:
    while data := await reader.read(65536):
        if stopped():
            return
        writer.write(data)
    writer.close()


async def _read_amqp(reader: asyncio.StreamReader) -> AsyncIterator[tuple[str, bytes]]:
    yield HEADER, await reader.readexactly(8)
    while True:
        head = await reader.readexactly(7)
        payload = await reader.readexactly(int.from_bytes(head[3:7], "big") + 1)
        yield _METHODS[int.from_bytes(payload[:4], "big")] if head[0] == _METHOD_FRAME else "", head + payload


def _read_for(word: str) -> Read:
    async def read(reader: asyncio.StreamReader) -> AsyncIterator[tuple[str, bytes]]:
        while data := await reader.read(65536):
            yield word if word.encode() in data else "", data

    return read


@asynccontextmanager
async def _freezing(server_url: str, read: Read, step: str, nth: int) -> AsyncIterator[tuple[FreezingServer, str]]:
    url = urlsplit(server_url)
    assert url.port is not None
    freezing = FreezingServer((url.hostname or "", url.port), read, step, nth)
    server = await asyncio.start_server(freezing.serve, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    try:
        yield freezing, url._replace(netloc=f"{url.netloc.rpartition('@')[0]}@127.0.0.1:{port}").geturl()
    finally:
        server.close()
        freezing.close()


@asynccontextmanager
async def freezing_broker(amqp_url: str, step: str, nth: int = 1) -> AsyncIterator[tuple[FreezingServer, str]]:
    """A broker that freezes at the `nth` method of this name that it receives, such as `Basic.Consume`; and its URL."""
    async with _freezing(amqp_url, _read_amqp, step, nth) as served:
        yield served


@asynccontextmanager
async def freezing_store(url: str, word: str) -> AsyncIterator[tuple[FreezingServer, str]]:
    """A Redis or Postgres that freezes when a client sends `word`, or at ACCEPT; and its URL."""
    async with _freezing(url, _read_for(word), word, 1) as served:
        yield served
