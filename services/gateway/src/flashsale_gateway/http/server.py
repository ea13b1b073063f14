"""uvicorn's server, made for stampedes and for rest.

It takes many new connections in one turn of the event loop: libuv takes one for each time it finds a listening socket ready, whatever
waits there, and a turn under load is tens of milliseconds. Of 2,048 connections that came at once four fifths still waited after 4 s.

And it is woken by a signal instead of looking ten times a second whether there was one: at rest that was a third of its CPU.
"""

import asyncio
import socket
from contextlib import suppress
from types import FrameType

import uvicorn

from flashsale_gateway import metrics
from flashsale_gateway.http.client_buffers import UNSENT_BYTES_MAX

TICK_SECONDS = 1.0
"""How often the Date header is renewed; it has whole seconds."""
ACCEPTS = 64
"""Connections taken in one turn, at most. Each is a descriptor of the one listening socket, and found ready when any connection waits."""


class Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._signalled = asyncio.Event()
        metrics.CONNECTIONS.set_function(lambda: len(self.server_state.connections))

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        super().run(listeners(sockets or [self.config.bind_socket()]))

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        # Every tenth tick of uvicorn's renews the date, and so does tick 0.
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._signalled.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        # Before main_loop nothing waits, and its first tick sees what uvicorn has noted.
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._signalled.set)


def listeners(bound: list[socket.socket]) -> list[socket.socket]:
    for one in bound:
        # Connections inherit it. Without it the kernel keeps megabytes for a client that reads nothing, and that memory is everybody's.
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)
    return [*bound, *(one.dup() for one in bound for _ in range(ACCEPTS - 1))]
