"""A proxy on loopback whose links can be disturbed. Runs in the caller's event loop."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from flashsale_chaos.network.connection import PIECE_BYTES, Connection
from flashsale_chaos.network.modes import Mode, combined
from flashsale_core.tasks import cancel_and_wait

HOST = "127.0.0.1"
BACKLOG = 1024


class Link:
    """Listens on 127.0.0.1:`port` and leads to `target`. A changed target counts for new connections."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.port = 0
        self._disturbances: list[Mode] = []
        self._mode = Mode()
        self._changed = asyncio.Event()
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None

    @property
    def mode(self) -> Mode:
        """What all present disturbances do together."""
        return self._mode

    @property
    def connections(self) -> int:
        return len(self._connections)

    async def start(self, port: int = 0) -> None:
        """Listen on `port`, or on a free one if it is 0. Raises OSError if the port is taken."""
        self._server = await asyncio.start_server(self._accepted, HOST, port, limit=PIECE_BYTES, backlog=BACKLOG)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, and reset what is open."""
        if self._server is not None:
            self._server.close()
        self.reset()
        await cancel_and_wait(*self._connections.values())

    @contextmanager
    def disturbed(self, mode: Mode) -> Iterator[None]:
        """Add a disturbance for as long as the block runs, unless `heal` ends it before. Others stay as they are."""
        self._disturbances.append(mode)
        self._update()
        try:
            yield
        finally:
            self._disturbances = [kept for kept in self._disturbances if kept is not mode]
            if mode.lossy:
                self.reset()
            self._update()

    def heal(self) -> None:
        """End all disturbances: the link is plain."""
        if any(mode.lossy for mode in self._disturbances):
            self.reset()
        self._disturbances = []
        self._update()

    def reset(self) -> None:
        """End all connections with RST."""
        for connection in self._connections:
            connection.reset()

    async def changed(self) -> None:
        """Wait until the mode changes."""
        await self._changed.wait()

    def _update(self) -> None:
        self._mode = combined(self._disturbances)
        if self._mode.refuse:
            self.reset()
        self._changed.set()
        self._changed = asyncio.Event()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(self, reader, writer)
        if self._mode.refuse:
            connection.reset()
            return
        task = asyncio.create_task(connection.run())
        self._connections[connection] = task
        task.add_done_callback(lambda _: self._connections.pop(connection, None))
