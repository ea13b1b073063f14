"""A broker that freezes: the real one behind a proxy that reads what clients say, and falls silent at a step of choice."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pamqp.commands

HEADER = "protocol header"
_METHODS: dict[int, str] = {number: getattr(method, "name", "") for number, method in pamqp.commands.INDEX_MAPPING.items()}
_METHOD_FRAME = 1


class FreezingBroker:
    """Freezes as a process that is stopped does: connections stay open, and not a byte moves any more, whoever connects."""

    def __init__(self, host: str, port: int, step: str, nth: int) -> None:
        self._upstream = host, port
        self._step, self._nth = step, nth
        self._seen: Counter[str] = Counter()
        self._writers: list[asyncio.StreamWriter] = []
        self.frozen = asyncio.Event()
        self._thawed = asyncio.Event()

    def thaw(self) -> None:
        """From now on new connections are served. Those that were there stay as they are."""
        self._thawed.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        if self.frozen.is_set() and not self._thawed.is_set():
            return
        upstream_reader, upstream_writer = await asyncio.open_connection(*self._upstream)
        self._writers.append(upstream_writer)
        may_freeze = not self.frozen.is_set()

        def stopped() -> bool:
            return may_freeze and self.frozen.is_set()

        with suppress(OSError, asyncio.IncompleteReadError):
            await asyncio.gather(self._up(reader, upstream_writer, stopped), _down(upstream_reader, writer, stopped))
        if not stopped():
            writer.close()
            upstream_writer.close()

    async def _up(self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter, stopped: Callable[[], bool]) -> None:
        """From the client, frame by frame, until the step comes."""
        upstream.write(self._said(HEADER, await reader.readexactly(8)))
        while not stopped():
            head = await reader.readexactly(7)
            payload = await reader.readexactly(int.from_bytes(head[3:7], "big") + 1)
            if stopped():
                break
            is_method = head[0] == _METHOD_FRAME
            name = _METHODS[int.from_bytes(payload[:4], "big")] if is_method else ""
            upstream.write(self._said(name, head + payload))

    def _said(self, name: str, frame: bytes) -> bytes:
        """The frame, or nothing when it is the one at which the broker freezes."""
        self._seen[name] += 1
        if name == self._step and self._seen[name] == self._nth:
            self.frozen.set()
            return b""
        return frame

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


async def _down(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stopped: Callable[[], bool]) -> None:
    while data := await reader.read(65536):
        if stopped():
            return
        writer.write(data)
    writer.close()


@asynccontextmanager
async def freezing(amqp_url: str, step: str, nth: int = 1) -> AsyncIterator[tuple[FreezingBroker, str]]:
    """A broker that freezes at the `nth` method of this name that it gets, such as `Basic.Consume`; and its URL."""
    url = urlsplit(amqp_url)
    broker = FreezingBroker(url.hostname or "", url.port or 5672, step, nth)
    server = await asyncio.start_server(broker.serve, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    try:
        yield broker, url._replace(netloc=f"{url.netloc.rpartition('@')[0]}@127.0.0.1:{port}").geturl()
    finally:
        server.close()
        broker.close()
