"""Connections past the limit are refused with an answer, and few of them wait for it."""

import asyncio
import socket
from contextlib import ExitStack

import pytest
from prometheus_client import REGISTRY

from flashsale_gateway.http import connection_limit
from flashsale_gateway.http.connection_limit import REFUSALS_MAX, ConnectionLimit
from flashsale_gateway.http.server import Server
from tests.unit.gateway.test_server import with_server


def refuse_all(connections: int, request: bytes = b"", ended: int = 0) -> list[bytes]:
    """What the first `ended` of `connections` receive, by default all of them, when the limit is 0."""

    async def play(_: Server, port: int) -> list[bytes]:
        with ExitStack() as clients:
            opened = [clients.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(connections)]
            for connection in opened:
                connection.setblocking(False)
                connection.send(request)
            done, pending = set[asyncio.Task[bytes]](), {asyncio.create_task(read_all(connection)) for connection in opened}
            while len(done) < (ended or connections):
                just_done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                done |= just_done
            for reading in pending:
                reading.cancel()
            return [reading.result() for reading in done]

    return with_server(play, http=ConnectionLimit(0))


async def read_all(connection: socket.socket) -> bytes:
    received = b""
    try:
        while piece := await asyncio.get_running_loop().sock_recv(connection, 4096):
            received += piece
    except ConnectionResetError:
        return b"reset"
    return received


def refused() -> float:
    return REGISTRY.get_sample_value("flashsale_connections_refused_total") or 0.0


def test_refused_connection_gets_503_and_is_closed() -> None:
    before = refused()
    (answer,) = refuse_all(1, b"POST /order HTTP/1.1\r\n")
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert all(line in answer.lower() for line in (b"\r\nretry-after: 1\r\n", b"\r\nconnection: close\r\n", b'"code":"overloaded"'))
    assert refused() == before + 1


def test_silent_refused_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_limit, "REFUSAL_SECONDS", 0.2)
    assert refuse_all(3) == [b""] * 3


def test_connections_past_the_refusals_are_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_limit, "REFUSAL_SECONDS", 600)
    assert set(refuse_all(REFUSALS_MAX + 5, ended=5)) <= {b"", b"reset"}
