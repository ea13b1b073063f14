"""The server accepts a stampede of connections in few turns of the event loop, and a signal stops it at once."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from signal import SIGTERM
from typing import Any, TypeVar

import pytest
import uvicorn
import uvloop

from flashsale_gateway.http.server import Server, listening_sockets

T = TypeVar("T")
CONNECTIONS = 300
TURNS_MAX = 60
"""Accepting one connection in each turn would take 300 turns; 64 in each take five, and a few around them."""
WAIT_SECONDS = 60


async def app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("no request is sent")


async def turns_until(true: Callable[[], bool]) -> int:
    """The number of turns of the event loop until `true()`."""
    turns = 0
    while not true():
        await asyncio.sleep(0)
        turns += 1
    return turns


def with_server(play: Callable[[Server, int], Coroutine[Any, Any, T]], **options: Any) -> T:
    """`options` are uvicorn's."""

    async def run() -> T:
        config = uvicorn.Config(**{"app": app, "host": "127.0.0.1", "port": 0, "lifespan": "off", "log_config": None, **options})
        server, bound = Server(config), config.bind_socket()
        serving = asyncio.create_task(server._serve(listening_sockets([bound])))
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await turns_until(lambda: server.started)
                return await play(server, bound.getsockname()[1])
        finally:
            server.handle_exit(SIGTERM, None)
            await serving

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


def test_simultaneous_connections_are_accepted_in_few_turns() -> None:
    async def play(server: Server, port: int) -> None:
        with ExitStack() as clients:
            # The event loop does not run here, so all of them wait in the backlog.
            for _ in range(CONNECTIONS):
                clients.enter_context(socket.create_connection(("127.0.0.1", port)))
            assert await turns_until(lambda: len(server.server_state.connections) == CONNECTIONS) <= TURNS_MAX

    with_server(play)


def test_single_connection_is_accepted_once() -> None:
    async def play(server: Server, port: int) -> None:
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", port)):
                for _ in range(50):
                    await asyncio.sleep(0)
                assert len(server.server_state.connections) == 1
            await turns_until(lambda: not server.server_state.connections)

    with_server(play)


async def test_first_tick_sees_a_signal_from_before_the_loop() -> None:
    server = Server(uvicorn.Config(app, lifespan="off", log_config=None))
    server.handle_exit(SIGTERM, None)
    async with asyncio.timeout(WAIT_SECONDS):
        await server.main_loop()


def test_gateway_on_all_ipv6_addresses_accepts_ipv4() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with uvicorn.Config(app, host="::", port=0, log_config=None).bind_socket() as bound:
        bound.listen()
        port = bound.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), timeout=WAIT_SECONDS).close()
