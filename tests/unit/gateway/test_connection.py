"""A request that arrived in time is answered, although the gateway reads it late."""

import asyncio
import socket
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from flashsale_gateway.http.answers import Answer
from flashsale_gateway.http.client_buffers import ClientBuffers
from flashsale_gateway.http.fast_path import FastPathProtocol
from flashsale_gateway.http.server import Server
from tests.unit.gateway.test_server import turns_until, with_server

TIMEOUT_SECONDS = 0.5
ORDER = b"POST /order HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\n{}"
OK = b"HTTP/1.1 200 OK\r\n"


class Endpoint:
    """Answers every request in the next turn; `when_asked` is called as soon as a request is read."""

    def __init__(self) -> None:
        self.when_asked: Callable[[], object] = lambda: None

    def accept(self, headers: Any, body: bytes, request: Any, address: str) -> None:
        self.when_asked()
        asyncio.get_running_loop().call_soon(request.set_result, None)

    def answer(self, pending: None, result: None) -> Answer:
        return Answer(200, (), b"{}")


class Gateway:
    settings = SimpleNamespace(head_timeout_seconds=TIMEOUT_SECONDS, head_bytes_max=1000, write_timeout_seconds=1.0)
    cors = None

    def __init__(self, endpoint: Endpoint) -> None:
        self.client_buffers = ClientBuffers()
        self.endpoints = {"/order": endpoint}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("every request takes the fast path")


async def ask(connection: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, ORDER)
    return await loop.sock_recv(connection, 4096)


@pytest.mark.parametrize("requests_before", [0, 1], ids=["new", "kept alive"])
def test_request_that_arrives_in_a_long_turn_is_answered(requests_before: int) -> None:
    endpoint = Endpoint()

    async def play(server: Server, port: int) -> tuple[bytes, bytes]:
        with socket.create_connection(("127.0.0.1", port)) as late, socket.create_connection(("127.0.0.1", port)) as other:

            def arrive_and_stall() -> None:
                endpoint.when_asked = lambda: None
                late.send(ORDER)
                # The loop reads nothing until after the connection's time: the process is stopped, or gets no CPU.
                time.sleep(1.2 * TIMEOUT_SECONDS)

            late.setblocking(False)
            other.setblocking(False)
            await turns_until(lambda: len(server.server_state.connections) == 2)
            for _ in range(requests_before):
                assert (await ask(late)).startswith(OK)
            endpoint.when_asked = arrive_and_stall
            return await ask(other), await asyncio.get_running_loop().sock_recv(late, 4096)

    answers = with_server(play, app=Gateway(endpoint), http=FastPathProtocol, timeout_keep_alive=TIMEOUT_SECONDS)
    assert [answer.startswith(OK) for answer in answers] == [True, True], answers
