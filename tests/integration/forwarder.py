"""An address that can move to another server while existing connections stay, as the address of a Service or a DNS name does."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from flashsale_core.tasks import cancel_and_wait


class Forwarder:
    """Listens on 127.0.0.1:`port`; `target` is the port that new connections lead to."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self._busy: set[asyncio.Task[None]] = set()

    async def listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def close(self) -> None:
        await cancel_and_wait(*self._busy)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        for task in (asyncio.create_task(_copy(reader, far_writer)), asyncio.create_task(_copy(far_reader, writer))):
            self._busy.add(task)
            task.add_done_callback(self._busy.discard)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with contextlib.suppress(OSError):
            while part := await reader.read(65_536):
                writer.write(part)
                await writer.drain()
    finally:
        writer.close()


@contextlib.contextmanager
def forwarding(target: int) -> Iterator[Forwarder]:
    """A forwarder in a thread of its own, for tests that block."""
    forwarder, loop, listening = Forwarder(target), asyncio.new_event_loop(), threading.Event()
    ending = asyncio.Event()

    async def serve() -> None:
        server = await forwarder.listen()
        listening.set()
        await ending.wait()
        server.close()
        await forwarder.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert listening.wait(10)
        yield forwarder
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join(10)
        loop.close()
