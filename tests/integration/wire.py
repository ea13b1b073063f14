"""The gateway's HTTP byte by byte: raw connections, and requests built by hand."""

import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from flashsale_local_stack import Stack
from tests.integration.client import Client


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """A connection without a client library."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._file = connection.makefile("rb")

    def send(self, *pieces: bytes, pause_seconds: float = 0.05) -> None:
        for number, piece in enumerate(pieces):
            if number:
                time.sleep(pause_seconds)
            self.connection.sendall(piece)

    def answer(self) -> Answer:
        status = int(self._file.readline().split()[1])
        headers = {}
        while (line := self._file.readline().strip()) != b"":
            name, _, value = line.decode().partition(": ")
            assert name not in headers
            headers[name] = value
        return Answer(status, headers, self._file.read(int(headers.get("content-length", 0))))

    def close(self) -> None:
        """Close the file over the socket, which would otherwise keep it open."""
        self._file.close()

    def closed(self) -> bool:
        return self._file.read(1) == b""


@contextmanager
def wire_to(client: Client) -> Iterator[Wire]:
    address = urlsplit(client.env["FLASHSALE_URL"])
    with socket.create_connection((address.hostname, address.port or 80), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire = Wire(connection)
        try:
            yield wire
        finally:
            wire.close()


def order(sale: str, **changes: Any) -> bytes:
    document = {"userId": "ann", "productId": sale, "quantity": 1, "requestId": uuid.uuid4().hex, **changes}
    return json.dumps(document).encode()


def head(
    length: int | None, *more: bytes, media_type: bytes = b"application/json", version: bytes = b"1.1", path: bytes = b"/order"
) -> bytes:
    lines = [b"POST " + path + b" HTTP/" + version, b"Host: shop", b"Content-Type: " + media_type, *more]
    if length is not None:
        lines.append(b"Content-Length: %d" % length)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def whole(body: bytes, *more: bytes, **how: bytes) -> bytes:
    return head(len(body), *more, **how) + body


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


@contextmanager
def gateway(stack: Stack, **settings: str) -> Iterator[tuple["subprocess.Popen[bytes]", Client]]:
    """A further gateway of the stack, which is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, **stack.env(), "FLASHSALE_PORT": str(port), **settings}
    second = Client({**stack.env(), "FLASHSALE_URL": f"http://127.0.0.1:{port}"})
    process = subprocess.Popen([sys.executable, "-m", "flashsale_gateway"], env=env, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: second.get("/readyz").status == 200)
        yield process, second
    finally:
        process.kill()
        process.wait()


def wait_for(ready: Callable[[], bool], seconds: float = 120.0) -> None:
    give_up_at = time.monotonic() + seconds
    while True:
        try:
            if ready():
                return
        except OSError:
            pass
        assert time.monotonic() < give_up_at
        time.sleep(0.1)


def order_to_pay(client: Client, sale: str) -> str:
    """The id of a new order of the sale."""
    answer = client.order(sale, "ann", request=uuid.uuid4().hex)
    assert answer.status == 200
    return str(answer.body["orderId"])
