"""Sends one request on one connection, with minimal work per request.

With thousands of simultaneous requests, a full HTTP client would spend most of the measured time on its own connections.
"""

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from flashsale_cli.load.plan import Click


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    replayed: bool
    body: bytes


class SingleRequestClient:
    def __init__(self, url: str, timeout_seconds: float) -> None:
        """`url` is the http:// URL of the endpoint."""
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname or "", parts.port or 80, parts.path
        # An IPv6 address keeps its brackets there.
        self._host_header = parts.netloc.rpartition("@")[2]
        self._timeout_seconds = timeout_seconds

    async def post(self, click: Click) -> Reply:
        """Raises TimeoutError, or OSError if the connection breaks."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()
        async with asyncio.timeout(self._timeout_seconds):
            transport, _ = await loop.create_connection(lambda: _Exchange(self._request(click), answer), self._host, self._port)
            try:
                return read_reply(await answer)
            finally:
                transport.close()

    def _request(self, click: Click) -> bytes:
        own = "".join(f"{name}: {value}\r\n" for name, value in click.headers().items())
        head = (
            f"POST {self._path} HTTP/1.1\r\nHost: {self._host_header}\r\nConnection: close\r\n"
            f"{own}Content-Length: {len(click.body)}\r\n\r\n"
        )
        return head.encode() + click.body


class _Exchange(asyncio.Protocol):
    """Sends the request. The answer is everything received until the server closes the connection."""

    def __init__(self, request: bytes, answer: "asyncio.Future[bytes]") -> None:
        self._request = request
        self._answer = answer
        self._received = bytearray()

    def connection_made(self, transport: Any) -> None:
        # Any, because uvloop's transport has asyncio's methods but none of its types.
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer.done():
            return
        if exc is not None and not self._received:
            self._answer.set_exception(exc if isinstance(exc, OSError) else ConnectionError(str(exc)))
        else:
            self._answer.set_result(bytes(self._received))


def read_reply(received: bytes) -> Reply:
    """Raises ConnectionError if the answer is incomplete, or is none of HTTP/1."""
    head, blank, body = received.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    code, length = status[9:12], headers.get(b"content-length", b"")
    if not blank or not status.startswith(b"HTTP/1.") or not code.isdigit() or not length.isdigit() or len(body) != int(length):
        raise ConnectionError("the connection ended before the answer was complete")
    return Reply(int(code), headers.get(b"idempotent-replayed") == b"true", body)
