"""One connection through a link: two pumps that hold, delay or cut what passes."""

import asyncio
import contextlib
import socket
import struct
from typing import Protocol

from flashsale_chaos.network.modes import Mode

PIECE_BYTES = 65_536
"""What a pump reads at once, and the limit of a stream's buffer: a held connection keeps at most five of them in each direction."""
CONNECT_TIMEOUT_SECONDS = 5.0
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: closing sends RST (socket(7))."""


class Way(Protocol):
    """What a connection asks its link."""

    @property
    def mode(self) -> Mode: ...
    @property
    def target(self) -> tuple[str, int]: ...
    async def changed(self) -> None: ...


class Connection:
    def __init__(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._way = way
        self._client = reader, writer
        self._writers = [writer]
        self._cut_bytes = 0

    async def run(self) -> None:
        """Forward until both sides have ended. Raises nothing: an error of one side resets the other."""
        try:
            # A client that connects to a black hole reaches the server once the hole is gone.
            await self._passable(up=True)
            server = await asyncio.wait_for(asyncio.open_connection(*self._way.target, limit=PIECE_BYTES), CONNECT_TIMEOUT_SECONDS)
            self._writers.append(server[1])
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(self._client[0], server[1], up=True))
                pumps.create_task(self._pump(server[0], self._client[1], up=False))
        except* (OSError, TimeoutError):
            self.reset()
        finally:
            for writer in self._writers:
                writer.close()

    def reset(self) -> None:
        """End both sides with RST, without what is still buffered."""
        for writer in self._writers:
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        while piece := await reader.read(PIECE_BYTES):
            await self._passable(up=up)
            await asyncio.sleep(self._way.mode.delay_ms / 1000)
            passing = self._before_the_cut(piece)
            writer.write(passing)
            await writer.drain()
            if len(passing) < len(piece):
                raise ConnectionAbortedError("cut")
        await self._passable(up=up)
        writer.write_eof()

    async def _passable(self, *, up: bool) -> None:
        while self._way.mode.hold_up if up else self._way.mode.hold_down:
            await self._way.changed()

    def _before_the_cut(self, piece: bytes) -> bytes:
        limit = self._way.mode.cut_after_bytes
        if limit is None:
            self._cut_bytes = 0
            return piece
        passing = piece[: max(0, limit - self._cut_bytes)]
        self._cut_bytes += len(passing)
        return passing
