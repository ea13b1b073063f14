"""A request that arrived in time is answered, although the gateway reads it late."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from flashsale_gateway.http.answers import Answer
from flashsale_gateway.http.client_buffers import ClientBuffers
from flashsale_gateway.http.fast_path import FastPathProtocol
from flashsale_gateway.http.server import Server
from tests.unit.gateway.test_server import with_server
from tests.unit.stalls import OK, answers_around_a_stall

TIMEOUT_SECONDS = 0.5
ORDER = b"POST /order HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\n{}"


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


@pytest.mark.parametrize("requests_before", [0, 1], ids=["new", "kept alive"])
def test_request_that_arrives_in_a_long_turn_is_answered(requests_before: int) -> None:
    endpoint = Endpoint()

    async def play(server: Server, port: int) -> list[bytes]:
        return await answers_around_a_stall(
            server, port, endpoint, ORDER, requests_before=requests_before, stall_seconds=1.2 * TIMEOUT_SECONDS
        )

    answers = with_server(play, app=Gateway(endpoint), http=FastPathProtocol, timeout_keep_alive=TIMEOUT_SECONDS)
    assert [answer.startswith(OK) for answer in answers] == [True, True], answers
