"""Which pages of other origins may call the API: CORS (https://fetch.spec.whatwg.org/#http-cors-protocol).

Cookies are never accepted from them, because no answer has Access-Control-Allow-Credentials: a page proves its buyer by Authorization.
"""

import re
from collections.abc import Iterable

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from flashsale_gateway.http.answers import CACHE_CONTROL, NO_STORE, Headers, header_lines
from flashsale_gateway.http.ports import is_for_pages
from flashsale_gateway.http.problems import Problem

METHODS = ("GET", "POST", "DELETE")
REQUEST_HEADERS = ("authorization", "content-type", "idempotency-key", "traceparent", "tracestate")
ANSWER_HEADERS = ("retry-after", "idempotent-replayed", "etag", "date", "www-authenticate")
"""What a page may read besides the headers that every page may read. By `date` it counts down with the server's clock."""
PREFLIGHT_SECONDS = 7200
"""How long a browser keeps the answer to a preflight. Chromium keeps none longer. A removed origin is refused at once nevertheless."""
VARY: Headers = ((b"vary", b"Origin"),)
_ALLOWED = Response(
    status_code=204,
    headers={
        "access-control-allow-methods": ", ".join(METHODS),
        "access-control-allow-headers": ", ".join(REQUEST_HEADERS),
        "access-control-max-age": str(PREFLIGHT_SECONDS),
        CACHE_CONTROL: NO_STORE,
    },
)
_EXPOSED = (b"access-control-expose-headers", ", ".join(ANSWER_HEADERS).encode())
_NOT_ALLOWED = Problem("origin_not_allowed", "Add it to FLASHSALE_CORS_ORIGINS", field="Origin").response()
# A request whose head is not parsed: its connection is refused.
_PATH = re.compile(rb"[A-Z]+ ([^ ?]*)[^ \r\n]* HTTP/")
_ORIGIN = re.compile(rb"\r\norigin:[ \t]*([^\r\n]*?)[ \t]*\r\n", re.IGNORECASE)


class Cors:
    def __init__(self, origins: Iterable[str]) -> None:
        """`origins` as browsers send them, such as https://shop.example."""
        allowed = {origin.encode(): ((b"access-control-allow-origin", origin.encode()), _EXPOSED, *VARY) for origin in origins}
        self._headers: dict[bytes, Headers] = allowed
        self._lines = {origin: header_lines(headers) for origin, headers in allowed.items()}
        self._vary = header_lines(VARY)

    def headers_for(self, origin: bytes | None) -> Headers:
        """What the answer to a request of this Origin has besides its own headers: always Vary, so that caches tell origins apart."""
        return self._headers.get(origin, VARY) if origin is not None else VARY

    def lines_for(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The same as header lines, for the headers of a request."""
        for name, value in headers:
            if name == b"origin":
                return self._lines.get(value, self._vary)
        return self._vary

    def lines_for_unparsed(self, head: bytes) -> bytes:
        """The same for a head that nobody has parsed; empty if its path is not for pages or the head is not whole."""
        path, origin = _PATH.match(head), _ORIGIN.search(head)
        if path is None or not is_for_pages(path[1].decode("latin-1")):
            return b""
        return self._lines.get(origin[1], self._vary) if origin is not None else self._vary

    def with_headers(self, scope: Scope, send: Send) -> Send:
        """`send` with these headers."""
        headers = self.headers_for(_value(scope, b"origin"))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        return send_with_headers

    async def answer_preflight(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application. Redis is not asked, and no endpoint."""
        allowed = _value(scope, b"origin") in self._headers
        await (_ALLOWED if allowed else _NOT_ALLOWED)(scope, receive, send)


def is_preflight(scope: Scope) -> bool:
    """Whether a browser asks whether a page may send a request. Any other OPTIONS is a request like others."""
    return scope["method"] == "OPTIONS" and None not in (_value(scope, b"origin"), _value(scope, b"access-control-request-method"))


def _value(scope: Scope, name: bytes) -> bytes | None:
    return next((value for key, value in scope["headers"] if key == name), None)
