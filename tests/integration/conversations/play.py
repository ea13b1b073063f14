"""One conversation, played against a gateway over a socket of its own."""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from tests.integration.conversations.conversation import Conversation, Ending, Segment
from tests.integration.conversations.judge import ClientView, End
from tests.integration.conversations.wire import AnswerReader, MalformedError

READ_BYTES = 65_536
CONTINUE_SECONDS = 1.0
"""How long a client waits for a 100 before it sends the body without one."""
SEND_SECONDS = 1.0
"""How long a client that does not read tries to send."""
SMALL_BUFFER_BYTES = 4_096
RESET = struct.pack("ii", 1, 0)

Address = tuple[str, int]


async def play(conversation: Conversation, address: Address, deadline_seconds: float) -> ClientView:
    """The conversation as the client saw it. Nothing that a server does makes this raise."""
    loop = asyncio.get_running_loop()
    with socket.socket() as connection:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not conversation.reads:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
        await loop.sock_connect(connection, address)
        client = _Client(conversation, connection, loop.time() + deadline_seconds)
        return await client.run()


@dataclass
class _Client:
    conversation: Conversation
    connection: socket.socket
    gives_up_at: float
    _reader: AnswerReader = field(default_factory=AnswerReader)
    _received: asyncio.Event = field(default_factory=asyncio.Event)
    """Set for each piece received, and at the end."""
    _end: End | None = None
    _malformed: str = ""

    async def run(self) -> ClientView:
        reading = asyncio.create_task(self._read()) if self.conversation.reads else None
        try:
            await self._send_all()
            await self._leave()
        finally:
            if reading is not None:
                reading.cancel()
                with suppress(asyncio.CancelledError):
                    await reading
        return ClientView(tuple(self._reader.answers), self._end or End.CLIENT, self._malformed)

    # Sending.

    async def _send_all(self) -> None:
        limit = self.gives_up_at if self.conversation.reads else min(self.gives_up_at, _now() + SEND_SECONDS)
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout_at(limit):
                for segment in self.conversation.segments:
                    await self._send(segment)

    async def _send(self, segment: Segment) -> None:
        if segment.awaits_continue:
            await self._wait_until(lambda: any(answer.status == 100 for answer in self._reader.answers), _now() + CONTINUE_SECONDS)
        elif segment.pause_seconds:
            await asyncio.sleep(segment.pause_seconds)
        await asyncio.get_running_loop().sock_sendall(self.connection, segment.data)

    # Reading.

    async def _read(self) -> None:
        try:
            while data := await asyncio.get_running_loop().sock_recv(self.connection, READ_BYTES):
                self._reader.feed(data)
                self._received.set()
            self._end = End.SERVER
            if self._reader.rest:
                self._malformed = f"an answer without an end: {self._reader.rest[:200]!r}"
        except ConnectionError:
            self._end = End.RESET
        except MalformedError as error:
            self._malformed, self._end = str(error), End.CLIENT
        finally:
            self._received.set()

    def _answered(self) -> bool:
        return sum(answer.status >= 200 for answer in self._reader.answers) >= len(self.conversation.requests)

    async def _wait_until(self, happened: Callable[[], bool], moment: float) -> bool:
        """Whether it has happened by then, or the connection has ended."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(moment):
                while self._end is None and not happened():
                    self._received.clear()
                    await self._received.wait()
        return self._end is not None or happened()

    # Leaving.

    async def _leave(self) -> None:
        match self.conversation.ending:
            case Ending.ANSWERED:
                await self._wait_or_note(self._answered)
            case Ending.SERVER:
                await self._wait_or_note(lambda: False)
            case Ending.HALF_CLOSE:
                with suppress(OSError):
                    self.connection.shutdown(socket.SHUT_WR)
                await self._linger()
            case Ending.CLOSE:
                await self._linger()
            case Ending.RESET:
                await self._linger()
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    async def _wait_or_note(self, happened: Callable[[], bool]) -> None:
        if not await self._wait_until(happened, self.gives_up_at):
            self._end = End.DEADLINE
        elif happened() and self._reader.rest and not self._malformed:
            self._malformed = f"bytes behind the last answer: {self._reader.rest[:200]!r}"

    async def _linger(self) -> None:
        await self._wait_until(lambda: False, _now() + self.conversation.lingers_seconds)


def _now() -> float:
    return asyncio.get_running_loop().time()
