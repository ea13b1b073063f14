"""uvicorn's HTTP/1.1 protocol with a short way for orders and payments: one that arrives whole needs no task, no scope and no message.

Everything else goes the way uvicorn sends it: other paths and methods, HTTP/1.0, a request whose body is still on its way, comes in chunks
or behind another request of its connection. To uvicorn a request on the short way looks like a request cycle in progress, so that
pipelining, keep-alive and graceful shutdown are uvicorn's own.

A client may send anything. Answers go out in the order of the requests, or the connection closes without one; what a connection makes
the process keep is bounded, per connection and in all (edge.py).
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Protocol

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from flashsale_gateway.http.answers import Answer, lines
from flashsale_gateway.http.client_buffers import UNREAD_BYTES_MAX, count_end
from flashsale_gateway.http.endpoints import Endpoint
from flashsale_gateway.http.problems import Problem

if TYPE_CHECKING:
    import asyncio

    from uvicorn._types import ASGI3Application
    from uvicorn.config import Config
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
    from uvicorn.server import ServerState

    from flashsale_gateway.http.client_buffers import ClientBuffers
    from flashsale_gateway.http.endpoints import Endpoints
    from flashsale_gateway.settings import Settings
    from flashsale_gateway.store import Result

    class Gateway(Protocol):
        @property
        def client_buffers(self) -> ClientBuffers: ...

        @property
        def endpoints(self) -> Endpoints: ...

        @property
        def settings(self) -> Settings: ...


CLOSE = b"connection: close\r\n"
WIRE_BYTES_PER_BODY_BYTE = 8
"""A body in chunks of one byte each takes six bytes of the wire for one of its own."""


class FastPathProtocol(HttpToolsProtocol):
    """One connection. `config.app` is the Gateway; its endpoints are there once its lifespan has begun."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        gateway: Gateway = config.app  # type: ignore[assignment] # uvicorn's type allows an import string; __main__ gives the object
        self._endpoints = {path.encode(): endpoint for path, endpoint in gateway.endpoints.items()}
        self._client_buffers = gateway.client_buffers
        self._settings = settings = gateway.settings
        self._head_bytes_max: int = settings.head_bytes_max
        self._head_timeout_seconds: float = settings.head_timeout_seconds

        self._answering: RequestResponseCycle | _InProgress | None = None
        """The request whose turn it is to be answered; those in `pipeline` wait behind it, and `cycle` is the last of all."""
        self._body: bytes | None = None
        """What is here of the body of a request that is being read on the short way."""
        self._in_head = False
        self._in_body = False
        """A request that goes the long way has its head here, and not yet its end."""
        self._message_bytes = 0
        """Bytes received since that head was complete."""
        self._head_bytes = 0
        """How much is here of a head that did not come in one piece."""
        self._much_at_once = False
        """A whole head past its limit is in here, if anywhere: the others need not be measured."""
        self._upgrade_ignored = False

        self._ended = False
        """Nothing more is read: the connection closes behind the answers that are still to come."""
        self._last_words: Problem | None = None
        """What is said behind them, before it closes."""
        self._closes_at: float | None = None
        """When the connection is closed if nothing happens; None while a request is read or answered."""
        self._looked_at = inf
        self._unread_bytes = 0
        """What the client had not read of its answers when this was last looked at."""

    # What the parser calls. It ends when one of these raises, and data_received sees why.

    def on_message_begin(self) -> None:
        if self._ended:
            raise _NothingMoreIsReadError
        cycle = self.cycle
        if (
            cycle is not None
            and not cycle.response_complete
            and not (cycle.keep_alive and self._client_buffers.has_room(len(self.pipeline)))
        ):
            raise _NothingMoreIsReadError
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._in_head = True
        self._closes_at = None

    def on_header(self, name: bytes, value: bytes) -> None:
        # The parser reports trailers as headers as well. A request's headers end with its head, and what comes later is dropped.
        if self._in_head:
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._much_at_once or self._head_bytes:
            self._measure_head()
        if self._may_be_short():
            self._body = b""
        elif self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._upgrade_ignored = True
        else:
            self._fall_back_to_asgi()

    def on_body(self, body: bytes) -> None:
        if self._body is None:
            super().on_body(body)
        else:
            self._body += body

    def on_message_complete(self) -> None:
        if self._body is None:
            if not self._upgrade_ignored:
                self._in_body = False
                super().on_message_complete()
            return
        body, self._body = self._body, None
        self._accept(body)

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        self._much_at_once = len(data) > self._head_bytes_max
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            self._end_for(error.__context__)
            return
        if self._in_head:
            self._await_head(data)
        elif self._body is not None and not self.transport.is_closing():
            # The rest is yet to come: ASGI has the patience, its limits and its back-pressure.
            body, self._body = self._body, None
            self._fall_back_to_asgi()
            if body:
                super().on_body(body)
        elif self._in_body:
            self._await_body(data)

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if not self._upgrade_ignored:
                    return
                data = self._without_upgrade() + data[upgrade.args[0] :]
            else:
                return

    def _without_upgrade(self) -> bytes:
        """The head once more, for a parser that was not told to stop behind it: a server may ignore an Upgrade (RFC 9110, 7.8)."""
        self._upgrade_ignored = False
        start = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        kept = lines(tuple(header for header in self.headers if header[0] != b"upgrade"))
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return start + kept + b"\r\n"

    def _may_be_short(self) -> bool:
        cycle = self.cycle
        return (
            self.url in self._endpoints
            and (cycle is None or cycle.response_complete)
            and not self.expect_100_continue
            and not self.flow.write_paused
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and not self.parser.should_upgrade()
        )

    def _fall_back_to_asgi(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        waiting = len(self.pipeline)
        super().on_headers_complete()
        self._client_buffers.pipelined += len(self.pipeline) - waiting
        self._in_body, self._message_bytes = True, 0

    # Heads are bounded: what is whole and short, as most are, is not even measured. Bodies are, whatever they are wrapped in.

    def _await_head(self, data: bytes) -> None:
        """The head goes on after `data`, which began it or is a further piece of it."""
        if self._head_bytes:
            self._head_bytes += len(data)
        else:
            self._head_bytes = max(1, len(data) - data.rfind(self.url)) if self.url else 1
            self._close_after(self._head_timeout_seconds)
        if self._head_bytes > self._head_bytes_max:
            self._end("head_too_large", self._head_too_large())

    def _measure_head(self) -> None:
        self._head_bytes = 0
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > self._head_bytes_max:
            raise _HeadTooLargeError

    def _head_too_large(self) -> Problem:
        return Problem("head_too_large", f"At most {self._head_bytes_max} bytes")

    def _await_body(self, data: bytes) -> None:
        """An endpoint reads as much of a body as it allows, but what comes behind that, trailers included, would have no end."""
        self._message_bytes += len(data)
        bytes_max = self._settings.body_bytes_max
        if self._message_bytes > WIRE_BYTES_PER_BODY_BYTE * bytes_max + self._head_bytes_max:
            self._end("body_too_large", Problem("body_too_large", f"At most {bytes_max} bytes"))

    # The end of a connection whose client sends what cannot be read. Answers on their way go out before it.

    def _end_for(self, cause: BaseException | None) -> None:
        """`cause` is what a method above raised into the parser, or None when the parser itself did not understand."""
        if isinstance(cause, _NothingMoreIsReadError):
            self._end("pipeline_too_long" if self.cycle.keep_alive else "closing", None)
        elif isinstance(cause, _HeadTooLargeError):
            self._end("head_too_large", self._head_too_large())
        else:
            self._end("malformed", Problem("bad_request", "This is no request of HTTP/1.1, or its end is missing"))

    def _end(self, reason: str, last_words: Problem | None) -> None:
        """Read nothing more. Once the requests before this one are answered, say why, and close."""
        if self._ended or self.transport.is_closing():
            return
        count_end(reason)
        self._ended, self._last_words = True, last_words
        self.flow.pause_reading()
        if self._in_body:
            self._forget_unread()
        if not self._is_answering():
            self._say_and_close()
        elif last_words is None:
            # uvicorn closes behind an answer that is the last.
            self.cycle.keep_alive = False

    def _forget_unread(self) -> None:
        """The request whose body was being read is not answered by its endpoint any more."""
        self._in_body = False
        if self.cycle.response_complete:
            self._last_words = None
        elif self.pipeline:
            self.pipeline.popleft()
            self._client_buffers.pipelined -= 1
            self.cycle = self.pipeline[0][0] if self.pipeline else self._answering  # type: ignore[assignment]
        else:
            self._tell_disconnected()
            if self.cycle.response_started:
                self._last_words = None
            self.cycle = None  # type: ignore[assignment]

    def _say_and_close(self) -> None:
        if self._last_words is not None and not self.transport.is_closing():
            self.transport.write(self._last_words.answer.wire(default_lines(self.server_state) + CLOSE))
        self._close()

    def _close(self) -> None:
        """Close when what is written has gone out, or at the write timeout."""
        self._ended = True
        self.transport.close()
        self._watch_unread()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    # The short way.

    def _accept(self, body: bytes) -> None:
        endpoint = self._endpoints[self.url]
        request = _InProgress(self, endpoint, self.parser.should_keep_alive())
        self.cycle = self._answering = request  # type: ignore[assignment] # it has what uvicorn asks of a cycle
        try:
            request.pending = endpoint.accept(self.headers, body, request)
        except Problem as problem:
            self.answer(request, endpoint.refuse(problem))
        except Exception as error:
            # The edge: a fault of ours is one request's, not the connection's.
            self.answer(request, endpoint.refuse(endpoint.fault(error)))

    def answer(self, request: _InProgress, answer: Answer) -> None:
        request.response_complete = True
        if not request.disconnected and not self.transport.is_closing():
            defaults = default_lines(self.server_state)
            self.transport.write(answer.wire(defaults if request.keep_alive else defaults + CLOSE))
            if not request.keep_alive:
                self._close()
        self.on_response_complete()

    # Answers in their order.

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._watch_unread()
        elif self.pipeline:
            # Nothing is read before all that was read is answered: else a client that only sends would fill the pipeline for ever.
            self._client_buffers.pipelined -= 1
            self._start_asgi_task(*self.pipeline.pop())
        elif self._ended:
            self._say_and_close()
        else:
            self.flow.resume_reading()
            # A head that has begun, or the rest of a body that is answered already, has less time than a client that is silent.
            self._close_after(self._head_timeout_seconds if self._in_head or self._in_body else self.timeout_keep_alive)

    # One timer a connection, for silence, slow heads, keep-alive and unread answers, instead of two timer calls a request.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=UNREAD_BYTES_MAX)
        self._close_after(self._head_timeout_seconds)

    def _close_after(self, seconds: float) -> None:
        self._closes_at = closes_at = self.loop.time() + seconds
        if closes_at < self._looked_at:
            self._look_at(closes_at)

    def _look_at(self, moment: float) -> None:
        self._unset_keepalive_if_required()
        self._looked_at = moment
        self.timeout_keep_alive_task = self.loop.call_at(moment, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task, self._looked_at = None, inf
        if self._unread_bytes:
            self._look_at_unread()
        elif self._closes_at is None or self._is_answering():
            # The end of the answer sets the next moment.
            return
        elif self._closes_at > self.loop.time():
            self._look_at(self._closes_at)
        elif self._in_head:
            self._end("slow_head", Problem("request_timeout", f"Send its head within {self._head_timeout_seconds:g} s"))
        else:
            self._close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_unread()
        self._client_buffers.stall(self, self._unread_bytes, self._abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._client_buffers.unstall(self)
        self._unread_bytes = 0
        if self._closes_at is not None:
            self._close_after(max(0.0, self._closes_at - self.loop.time()))

    def _watch_unread(self) -> None:
        """Give a client that leaves answers unread the write timeout, again and again while it reads some."""
        self._unread_bytes = self.transport.get_write_buffer_size()
        if self._unread_bytes:
            self._look_at(self.loop.time() + self._settings.write_timeout_seconds)

    def _look_at_unread(self) -> None:
        if self.transport.get_write_buffer_size() < self._unread_bytes:
            self._watch_unread()
        else:
            self._abort()

    def _abort(self) -> None:
        """End a connection whose client does not read: what it is owed is lost, and may be asked for again."""
        count_end("unread_answers")
        self._ended = True
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._tell_disconnected()
        self._client_buffers.unstall(self)
        self._client_buffers.pipelined -= len(self.pipeline)
        self.pipeline.clear()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def _tell_disconnected(self) -> None:
        """uvicorn tells the last request of a connection; the one that is being answered may be another."""
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True
            self._answering.message_event.set()


class _HeadTooLargeError(Exception):
    pass


class _NothingMoreIsReadError(Exception):
    """A request that is not taken any more: the connection is to close behind an answer before it, or too many are in its pipeline."""


class _InProgress:
    """A request on the short way: the waiter of its decision, and in uvicorn's eyes the cycle of its connection."""

    __slots__ = ("_endpoint", "_protocol", "disconnected", "keep_alive", "pending", "response_complete")

    def __init__(self, protocol: FastPathProtocol, endpoint: Endpoint[Any, Any], keep_alive: bool) -> None:
        self._protocol = protocol
        self._endpoint = endpoint
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False
        self.pending: Any

    @property
    def message_event(self) -> _InProgress:
        """Uvicorn sets it when the client is gone; nobody here waits for that."""
        return self

    def set(self) -> None:
        pass

    def done(self) -> bool:
        return self.response_complete

    def set_result(self, result: Result) -> None:
        try:
            answer = self._endpoint.answer(self.pending, result)
        except Exception as error:
            answer = self._endpoint.fail(self.pending, error)
        self._protocol.answer(self, answer)

    def set_exception(self, error: BaseException) -> None:
        self._protocol.answer(self, self._endpoint.fail(self.pending, error))


class _Rendered:
    """uvicorn's default headers (date among them) as bytes; it makes a new list each second."""

    source: list[tuple[bytes, bytes]] | None = None
    text = b""


def default_lines(state: ServerState) -> bytes:
    if _Rendered.source is not state.default_headers:
        _Rendered.source, _Rendered.text = state.default_headers, lines(tuple(state.default_headers))
    return _Rendered.text
