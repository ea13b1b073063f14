"""An answer as data, and its two renderings: ASGI messages, and the very bytes of HTTP/1.1 (RFC 9112)."""

from functools import lru_cache
from http import HTTPStatus

import msgspec
from starlette.types import Message

Headers = tuple[tuple[bytes, bytes], ...]
CACHE_CONTROL = "cache-control"
NO_STORE = "no-store"
"""For what belongs to somebody, changes, or refuses: from a cache it would be phantom stock, or another buyer's order."""
SHARED = "public, max-age=1"
"""For what a sale shows to everybody. Caches answer a crowd that reloads, and are at most a second behind."""
STATIC = "public, max-age=60"
"""For what changes only with a release."""
UNCACHED = (CACHE_CONTROL.encode(), NO_STORE.encode())


# A Struct is made in a tenth of the time a frozen dataclass takes, and there is one an order.
class Answer(msgspec.Struct, frozen=True, gc=False):
    status: int
    headers: Headers
    """All but content-length. Ours, never a client's bytes: nothing in them needs escaping."""
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
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode() + lines(headers)


def lines(headers: Headers) -> bytes:
    return b"".join(b"%b: %b\r\n" % header for header in headers)
