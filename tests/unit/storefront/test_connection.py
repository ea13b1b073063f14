"""A request that arrived in time is answered, although the storefront reads it late."""

import asyncio
import socket
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from flashsale_storefront.answers import Answer, Header
from flashsale_storefront.connection import Connections
from tests.unit.gateway.test_server import with_server
from tests.unit.stalls import OK, answers_around_a_stall

TIMEOUT_SECONDS = 0.5


def request_of(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n".encode()


class App:
    """Answers /live from memory and everything else through ASGI; `when_asked` is called as soon as a request is read."""

    def __init__(self) -> None:
        self.when_asked: Callable[[], object] = lambda: None

    def live_answer(self, path: bytes, defaults: Iterable[Header]) -> bytes | None:
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
    app = App()

    async def play(server: Any, port: int) -> list[bytes]:
        return await answers_around_a_stall(
            server, port, app, request_of(path), requests_before=requests_before, stall_seconds=1.2 * TIMEOUT_SECONDS
        )

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
