"""An answer as data, and its two renderings: ASGI messages, and the bytes of HTTP/1.1 (RFC 9112)."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec
from starlette.types import Message

if TYPE_CHECKING:
    from uvicorn.server import ServerState

Headers = tuple[tuple[bytes, bytes], ...]
CLOSE = b"connection: close\r\n"
CACHE_CONTROL = "cache-control"
NO_STORE = "no-store"
"""For answers to one buyer, to changes, and for refusals: a cache would show stock that is gone, or another buyer's order."""
SHARED = "public, max-age=1"
"""For what a sale shows to everybody. Caches absorb a crowd that reloads, and are at most a second behind."""
STATIC = "public, max-age=60"
"""For what changes only with a release."""
UNCACHED = (CACHE_CONTROL.encode(), NO_STORE.encode())


# A Struct is created in a tenth of the time of a frozen dataclass, and every order creates one.
class Answer(msgspec.Struct, frozen=True, gc=False):
    status: int
    headers: Headers
    """All but content-length. The gateway's own bytes, never a client's: nothing in them needs escaping."""
    body: bytes

    def messages(self) -> tuple[Message, Message]:
        headers = [*self.headers, (b"content-length", str(len(self.body)).encode())]
        return (
            {"type": "http.response.start", "status": self.status, "headers": headers},
            {"type": "http.response.body", "body": self.body},
        )

    def wire(self, defaults: bytes) -> bytes:
        """The whole response; `defaults` are further header lines, each with its CRLF."""
        return b"%b%bcontent-length: %d\r\n\r\n%b" % (_head(self.status, self.headers), defaults, len(self.body), self.body)


@lru_cache(maxsize=256)
def _head(status: int, headers: Headers) -> bytes:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode() + header_lines(headers)


def header_lines(headers: Headers) -> bytes:
    return b"".join(b"%b: %b\r\n" % header for header in headers)


class _DefaultHeaders:
    """uvicorn's default headers, the date among them, rendered once for each list that uvicorn makes, which is one list a second."""

    rendered: list[tuple[bytes, bytes]] | None = None
    lines = b""


def default_header_lines(state: ServerState) -> bytes:
    if _DefaultHeaders.rendered is not state.default_headers:
        _DefaultHeaders.rendered, _DefaultHeaders.lines = state.default_headers, header_lines(tuple(state.default_headers))
    return _DefaultHeaders.lines
