"""A request that arrived in time is answered, although the storefront reads it late."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from flashsale_storefront.answers import Answer, Header
from flashsale_storefront.connection import Connections
from tests.unit.gateway.test_server import turns_until, with_server

TIMEOUT_SECONDS = 0.5
OK = b"HTTP/1.1 200 OK\r\n"


def request_of(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n".encode()


class App:
    """Answers /live from memory and everything else through ASGI; `when_asked` is called as soon as a request is read."""

    def __init__(self) -> None:
        self.when_asked: Callable[[], object] = lambda: None

    def live_answer(self, path: bytes, condition: bytes, defaults: Iterable[Header]) -> bytes | None:
        if path != b"/live":
            return None
        self.when_asked()
        return Answer(200, (), b"{}").wire(defaults)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.when_asked()
        for message in Answer(200, (), b"{}").messages():
            await send(message)


@pytest.mark.parametrize(
    ("path", "requests_before"), [("/live", 0), ("/live", 1), ("/page", 1)], ids=["new", "kept after a poll", "kept after a page"]
)
def test_request_that_arrives_in_a_long_turn_is_answered(path: str, requests_before: int) -> None:
    app, request = App(), request_of(path)

    async def ask(connection: socket.socket) -> bytes:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, request)
        return await loop.sock_recv(connection, 4096)

    async def play(server: Any, port: int) -> tuple[bytes, bytes]:
        with socket.create_connection(("127.0.0.1", port)) as late, socket.create_connection(("127.0.0.1", port)) as other:

            def arrive_and_stall() -> None:
                app.when_asked = lambda: None
                late.send(request)
                # The loop reads nothing until long after the connection's time: the process is stopped, or gets no CPU.
                time.sleep(1.2 * TIMEOUT_SECONDS)

            late.setblocking(False)
            other.setblocking(False)
            await turns_until(lambda: len(server.server_state.connections) == 2)
            for _ in range(requests_before):
                assert (await ask(late)).startswith(OK)
            app.when_asked = arrive_and_stall
            return await ask(other), await asyncio.get_running_loop().sock_recv(late, 4096)

    connections = Connections(app, 10, TIMEOUT_SECONDS, TIMEOUT_SECONDS)
    answers = with_server(play, app=app, http=connections, timeout_keep_alive=TIMEOUT_SECONDS)
    assert [answer.startswith(OK) for answer in answers] == [True, True], answers


def test_silent_connection_is_closed() -> None:
    app = App()

    async def play(server: Any, port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port)) as silent:
            silent.setblocking(False)
            return await asyncio.get_running_loop().sock_recv(silent, 4096)

    assert with_server(play, app=app, http=Connections(app, 10, TIMEOUT_SECONDS, TIMEOUT_SECONDS)) == b""
