"""A crowd of pages that read event streams: many connections in one process, which only count events and keep the last one."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

OPEN_AT_ONCE = 100
OPEN_SECONDS = 30.0


class LiveStream(asyncio.Protocol):
    def __init__(self, path: str) -> None:
        self._path = path
        self.events = 0
        self.last = b""
        """The document of the last event, as JSON."""
        self.ended = False
        self._tail = b""

    def connection_made(self, transport: Any) -> None:
        transport.write(f"GET {self._path} HTTP/1.1\r\nhost: bench\r\naccept: text/event-stream\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self._tail += data
        *lines, self._tail = self._tail.split(b"\n")
        for line in lines:
            if line.startswith(b'data: {"productId"'):
                self.events += 1
                self.last = line[6:].rstrip()

    def connection_lost(self, _: Exception | None) -> None:
        self.ended = True


@asynccontextmanager
async def open_streams(url: str, path: str, count: int) -> AsyncIterator[Sequence[LiveStream]]:
    """`count` streams that all have their first event. Raises TimeoutError after OPEN_SECONDS."""
    address, loop = urlsplit(url), asyncio.get_running_loop()
    places, opened = asyncio.Semaphore(OPEN_AT_ONCE), list[tuple[Any, LiveStream]]()

    async def open_one() -> None:
        async with places:
            opened.append(await loop.create_connection(lambda: LiveStream(path), address.hostname or "", address.port or 80))

    try:
        async with asyncio.timeout(OPEN_SECONDS):
            await asyncio.gather(*(open_one() for _ in range(count)))
            while not all(stream.events for _, stream in opened):  # noqa: ASYNC110 - the streams count, they wake nobody
                await asyncio.sleep(0.05)
        yield [stream for _, stream in opened]
    finally:
        for transport, _ in opened:
            transport.close()
