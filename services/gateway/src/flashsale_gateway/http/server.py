"""uvicorn's server, changed for stampedes of connections and for idle hours.

It accepts many new connections in one turn of the event loop. libuv accepts one each time it finds a listening socket ready, and a
turn under load takes tens of milliseconds: of 2,048 connections opened at once, four fifths were still waiting after 4 s.

It is woken by a signal instead of checking for one ten times a second, which took a third of an idle gateway's CPU.
"""

import asyncio
import socket
from contextlib import suppress
from functools import partial
from types import FrameType

import uvicorn

from flashsale_gateway import metrics
from flashsale_gateway.http.client_buffers import UNSENT_BYTES_MAX

TICK_SECONDS = 1.0
"""How often the Date header is renewed; it has whole seconds."""
ACCEPTS_PER_TURN = 64
"""The most connections accepted in one turn. The socket has that many descriptors: libuv accepts one connection for each of them."""


class Server(uvicorn.Server):
    """`admin` configures a second listening socket, which starts and ends with the first one."""

    def __init__(self, config: uvicorn.Config, admin: uvicorn.Config | None = None) -> None:
        super().__init__(config)
        self._admin = admin
        self._admin_socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._signalled = asyncio.Event()
        metrics.CONNECTIONS.set_function(lambda: len(self.server_state.connections))

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        bound = sockets or [self.config.bind_socket()]
        # Both are bound before anything else is opened: a port that is taken ends the process at once.
        self._admin_socket = self._admin.bind_socket() if self._admin is not None else None
        super().run(listening_sockets(bound))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._admin is not None and self._admin_socket is not None:
            self._admin.load()
            connect = partial(self._admin.http_protocol_class, self._admin, self.server_state, self.lifespan.state)  # type: ignore[call-arg]
            self.servers.append(await asyncio.get_running_loop().create_server(connect, sock=self._admin_socket))

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        # uvicorn renews the date on tick 0 and on every tenth tick.
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._signalled.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        # Before main_loop runs nothing waits, and its first tick sees what uvicorn has noted.
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._signalled.set)


def listening_sockets(bound: list[socket.socket]) -> list[socket.socket]:
    """The bound sockets, and further descriptors of each of them: ACCEPTS_PER_TURN in all."""
    for listener in bound:
        # Connections inherit this. Without it the kernel keeps megabytes, shared by all, for a client that reads nothing.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)
    return [*bound, *(listener.dup() for listener in bound for _ in range(ACCEPTS_PER_TURN - 1))]
