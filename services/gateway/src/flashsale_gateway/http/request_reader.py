"""From bytes to requests: httptools parses them, and each one goes to the fast path or, through uvicorn, to ASGI.

Heads are bounded, and so is everything after them: bodies, chunk headers and trailers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import httptools

from flashsale_gateway.http.answers import header_lines
from flashsale_gateway.http.connection import Connection
from flashsale_gateway.http.problems import Problem

if TYPE_CHECKING:
    import asyncio

    from uvicorn.config import Config
    from uvicorn.server import ServerState

ONCE = frozenset(
    {
        *(b"authorization", b"content-type", b"content-length", b"host", b"idempotency-key", b"origin"),
        *(b"webhook-id", b"webhook-timestamp", b"webhook-signature"),
    }
)
"""Headers that decide something. A request with two of one is refused: proxies and libraries differ in which of them counts."""
WIRE_BYTES_PER_BODY_BYTE = 8
"""A body in chunks of one byte takes six bytes on the wire for each byte."""


class RequestReader(Connection, ABC):
    """The parser's callbacks. What they raise stops the parser, and `data_received` handles it."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head_bytes_max: int = self._settings.head_bytes_max
        self._fast_body: bytes | None = None
        """The part of a body received so far; None unless the request takes the fast path."""
        self._body_wire_bytes = 0
        """Bytes received since the head of the request that goes through ASGI was complete."""
        self._head_bytes = 0
        """Bytes received of a head that did not arrive in one piece."""
        self._may_hold_large_head = False
        """Whether the bytes just received could contain a whole head past the limit: only then are heads measured."""
        self._upgrade_ignored = False

    @abstractmethod
    def _may_take_fast_path(self) -> bool:
        """Whether the request whose head is complete goes to `_accept` once its body is here."""

    @abstractmethod
    def _accept(self, body: bytes) -> None:
        """Take the request with this body; its head is in `url` and `headers`."""

    def on_message_begin(self) -> None:
        if self._reading_ended:
            raise _ReadingEndedError
        cycle = self.cycle
        pipelined = cycle is not None and not cycle.response_complete
        if pipelined and not (cycle.keep_alive and self._client_buffers.may_pipeline(len(self.pipeline))):
            raise _ReadingEndedError
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._in_head = True
        self._silence_timer.unset()

    def on_header(self, name: bytes, value: bytes) -> None:
        # The parser reports trailers here too. Only the head's headers count; trailers are dropped.
        if self._in_head:
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._may_hold_large_head or self._head_bytes:
            self._measure_head()
        if len(dict(self.headers)) < len(self.headers):
            self._refuse_repeated_header()
        if self._may_take_fast_path():
            self._fast_body = b""
        elif self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._upgrade_ignored = True
        else:
            self._fall_back_to_asgi()

    def on_body(self, body: bytes) -> None:
        if self._fast_body is None:
            super().on_body(body)
        else:
            self._fast_body += body

    def on_message_complete(self) -> None:
        if self._fast_body is None:
            if not self._upgrade_ignored:
                self._in_body = False
                super().on_message_complete()
            return
        body, self._fast_body = self._fast_body, None
        self._accept(body)

    def data_received(self, data: bytes) -> None:
        if self._reading_ended:
            return
        self._may_hold_large_head = len(data) > self._head_bytes_max
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            self._end_after(error.__context__)
            return
        if self._in_head:
            self._bound_head(data)
        elif self._fast_body is not None and not self.transport.is_closing():
            # The rest of the body is still to come: ASGI waits for it, with its limits and back-pressure.
            body, self._fast_body = self._fast_body, None
            self._fall_back_to_asgi()
            if body:
                super().on_body(body)
        elif self._in_body:
            self._bound_body(data)

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if not self._upgrade_ignored:
                    return
                data = self._head_without_upgrade() + data[upgrade.args[0] :]
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        """The same head without its Upgrade, for a new parser: the old one has stopped. A server may ignore an Upgrade (RFC 9110, 7.8)."""
        self._upgrade_ignored = False
        request_line = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        kept = header_lines(tuple(header for header in self.headers if header[0] != b"upgrade"))
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return request_line + kept + b"\r\n"

    def _fall_back_to_asgi(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        waiting = len(self.pipeline)
        super().on_headers_complete()
        self._client_buffers.pipelined += len(self.pipeline) - waiting
        self._in_body, self._body_wire_bytes = True, 0

    def _refuse_repeated_header(self) -> None:
        """Some header is there twice, such as two of Accept, which is harmless."""
        names = [name for name, _ in self.headers if name in ONCE]
        for name in names:
            if names.count(name) > 1:
                raise _RepeatedHeaderError(name.decode())

    # Bounds on heads and bodies. A head that is whole and short, as most are, is not even measured.

    def _bound_head(self, data: bytes) -> None:
        """`data` began a head or continued it, and did not complete it."""
        if self._head_bytes:
            self._head_bytes += len(data)
        else:
            self._head_bytes = max(1, len(data) - data.rfind(self.url)) if self.url else 1
            self._silence_timer.set(self._head_timeout_seconds)
        if self._head_bytes > self._head_bytes_max:
            self._end_reading("head_too_large", self._head_too_large())

    def _measure_head(self) -> None:
        self._head_bytes = 0
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > self._head_bytes_max:
            raise _HeadTooLargeError

    def _head_too_large(self) -> Problem:
        return Problem("head_too_large", f"At most {self._head_bytes_max} bytes")

    def _bound_body(self, data: bytes) -> None:
        """An endpoint stops reading at its own limit; what a client sends after that, trailers included, is bounded here."""
        self._body_wire_bytes += len(data)
        bytes_max = self._settings.body_bytes_max
        if self._body_wire_bytes > WIRE_BYTES_PER_BODY_BYTE * bytes_max + self._head_bytes_max:
            self._end_reading("body_too_large", Problem("body_too_large", f"At most {bytes_max} bytes"))

    def _end_after(self, cause: BaseException | None) -> None:
        """`cause` is what a callback raised into the parser, or None when the parser itself found no valid request."""
        if isinstance(cause, _ReadingEndedError):
            self._end_reading("pipeline_too_long" if self.cycle.keep_alive else "closing", None)
        elif isinstance(cause, _HeadTooLargeError):
            self._end_reading("head_too_large", self._head_too_large())
        elif isinstance(cause, _RepeatedHeaderError):
            self._end_reading("repeated_header", Problem("bad_request", "Send this header once", field=str(cause).title()))
        else:
            self._end_reading("malformed", Problem("bad_request", "This is not a complete HTTP/1.1 request"))


class _HeadTooLargeError(Exception):
    pass


class _RepeatedHeaderError(Exception):
    """The message is the header's name."""


class _ReadingEndedError(Exception):
    """A request that is not read: the connection closes behind an earlier answer, or its pipeline is full."""
