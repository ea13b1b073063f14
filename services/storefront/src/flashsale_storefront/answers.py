"""An answer as data, and its two renderings: ASGI messages, and the bytes of HTTP/1.1 (RFC 9112). Pure."""

from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple

from flashsale_core.problems import MEDIA_TYPE
from flashsale_storefront.problems import Problem

Header = tuple[bytes, bytes]
SHARED = b"public, max-age=1"
"""For what everybody sees: caches absorb a crowd that reloads, and are at most a second behind."""
JSON: Header = (b"content-type", b"application/json")
# The live document is public, so pages of every origin may read it.
ANY_ORIGIN: Header = (b"access-control-allow-origin", b"*")
NO_SNIFFING: Header = (b"x-content-type-options", b"nosniff")


class Answer(NamedTuple):
    status: int
    headers: tuple[Header, ...]
    """All but content-length."""
    body: bytes

    def messages(self) -> tuple[dict[str, Any], dict[str, Any]]:
        # RFC 9110, 15.4.5: a 304 has no content.
        length = () if self.status == 304 else ((b"content-length", b"%d" % len(self.body)),)
        return (
            {"type": "http.response.start", "status": self.status, "headers": [*self.headers, *length]},
            {"type": "http.response.body", "body": self.body},
        )

    def wire(self, defaults: Iterable[Header]) -> bytes:
        """The whole response; `defaults` are further headers."""
        length = b"" if self.status == 304 else b"content-length: %d\r\n" % len(self.body)
        return b"%b%b%b\r\n%b" % (_head(self.status, self.headers), _lines(tuple(defaults)), length, self.body)


def of_problem(problem: Problem) -> Answer:
    """Public as the documents are: a page of another origin may read the reason as well."""
    headers = [(name.encode(), value.encode()) for name, value in problem.headers.items()]
    return Answer(problem.status, ((b"content-type", MEDIA_TYPE.encode()), NO_SNIFFING, ANY_ORIGIN, *headers), problem.body)


def header(headers: Iterable[Header], name: bytes) -> bytes:
    """The first value; empty without one."""
    return next((value for key, value in headers if key == name), b"")


def is_current(if_none_match: bytes, etag: bytes) -> bool:
    """Whether the client has this answer already: RFC 9110, 13.1.2, which compares weakly."""
    if not if_none_match:
        return False
    opaque = etag.removeprefix(b"W/")
    return any(tag.strip().removeprefix(b"W/") in (opaque, b"*") for tag in if_none_match.split(b","))


@lru_cache(maxsize=256)
def _head(status: int, headers: tuple[Header, ...]) -> bytes:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode() + _lines(headers)


@lru_cache(maxsize=256)
def _lines(headers: tuple[Header, ...]) -> bytes:
    return b"".join(b"%b: %b\r\n" % header for header in headers)
