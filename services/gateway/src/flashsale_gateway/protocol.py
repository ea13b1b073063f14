"""uvicorn's HTTP/1.1 protocol with a short way for orders and payments: one that arrives whole needs no task, no scope and no message.

Everything else goes the way uvicorn sends it: other paths and methods, HTTP/1.0, a request whose body is still on its way, comes in chunks
or behind another request of its connection. To uvicorn a request on the short way looks like a request cycle in progress, so that
pipelining, keep-alive and graceful shutdown are uvicorn's own.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Protocol

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from flashsale_gateway.answers import Answer, lines
from flashsale_gateway.endpoints import Endpoint
from flashsale_gateway.problems import Problem

if TYPE_CHECKING:
    import asyncio

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from flashsale_gateway.endpoints import Endpoints
    from flashsale_gateway.settings import Settings
    from flashsale_gateway.store import Result

    class Gateway(Protocol):
        @property
        def endpoints(self) -> Endpoints: ...

        @property
        def settings(self) -> Settings: ...


CLOSE = b"connection: close\r\n"


class ShortWayProtocol(HttpToolsProtocol):
    """One connection. `config.app` is the Gateway; its endpoints are there once its lifespan has begun."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        gateway: Gateway = config.app  # type: ignore[assignment] # uvicorn's type allows an import string; __main__ gives the object
        self._endpoints = {path.encode(): endpoint for path, endpoint in gateway.endpoints.items()}
        self._body: bytes | None = None
        """Of a request that is being read on the short way."""
        settings = gateway.settings
        self._head_bytes_max: int = settings.head_bytes_max
        self._head_timeout_seconds: float = settings.head_timeout_seconds
        self._in_head = False
        self._head_bytes = 0
        """Of a head that did not come in one piece: how much of it is here."""
        self._much_at_once = False
        """A whole head past its limit is in here, if anywhere: the others need not be measured."""
        self._upgrade_ignored = False
        self._closes_at: float | None = None
        """When the connection is closed if nothing happens; None while a request is read or answered."""
        self._looked_at = inf

    # What the parser calls.

    def on_message_begin(self) -> None:
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._in_head = True
        self._closes_at = None

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._much_at_once or self._head_bytes:
            self._measure_head()
        if self._may_be_short():
            self._body = b""
        elif self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._upgrade_ignored = True
        else:
            self._go_the_long_way()

    def on_body(self, body: bytes) -> None:
        if self._body is None:
            super().on_body(body)
        else:
            self._body += body

    def on_message_complete(self) -> None:
        if self._body is None:
            if not self._upgrade_ignored:
                super().on_message_complete()
            return
        body, self._body = self._body, None
        self._take(body)

    def data_received(self, data: bytes) -> None:
        self._much_at_once = len(data) > self._head_bytes_max
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, _HeadTooLargeError):
                self._refuse_head()
            else:
                self.send_400_response("Invalid HTTP request received.")
            return
        if self._in_head:
            self._await_head(data)
        elif self._body is not None and not self.transport.is_closing():
            # The rest is yet to come: ASGI has the patience, its limits and its back-pressure.
            body, self._body = self._body, None
            self._go_the_long_way()
            if body:
                super().on_body(body)

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

    def _go_the_long_way(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        super().on_headers_complete()
        # The parser calls trailers headers, too: the request's are complete, and what comes later is nobody's.
        self.headers = _Dropped()

    # Heads are bounded: what is whole and short, as most are, is not even measured.

    def _await_head(self, data: bytes) -> None:
        """The head goes on after `data`, which began it or is a further piece of it."""
        if self._head_bytes:
            self._head_bytes += len(data)
        else:
            self._head_bytes = max(1, len(data) - data.rfind(self.url)) if self.url else 1
            self._close_after(self._head_timeout_seconds)
        if self._head_bytes > self._head_bytes_max:
            self._refuse_head()

    def _measure_head(self) -> None:
        self._head_bytes = 0
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > self._head_bytes_max:
            raise _HeadTooLargeError

    def _refuse_head(self) -> None:
        self._refuse(Problem("head_too_large", f"At most {self._head_bytes_max} bytes"))

    def _refuse(self, problem: Problem) -> None:
        """Close, and say why unless an answer before this one is still to come: that one is lost, and may be asked for again."""
        if not self.transport.is_closing():
            if not self._is_answering():
                self.transport.write(problem.answer.wire(default_lines(self.server_state) + CLOSE))
            self.transport.close()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    # The short way.

    def _take(self, body: bytes) -> None:
        endpoint = self._endpoints[self.url]
        request = _InProgress(self, endpoint, self.parser.should_keep_alive())
        self.cycle = request  # type: ignore[assignment] # it has what uvicorn asks of a cycle
        try:
            request.taken = endpoint.take(self.headers, body, request)
        except Problem as problem:
            self.answer(request, endpoint.refuse(problem))
        except Exception as error:
            # The edge: a fault of ours is one request's, not the connection's.
            self.answer(request, endpoint.refuse(endpoint.fault(error)))

    def answer(self, request: _InProgress, answer: Answer) -> None:
        request.response_complete = True
        if not request.disconnected:
            defaults = default_lines(self.server_state)
            self.transport.write(answer.wire(defaults if request.keep_alive else defaults + CLOSE))
            if not request.keep_alive:
                self.transport.close()
        self.on_response_complete()

    # One timer a connection, for silence, slow heads and keep-alive, instead of two timer calls a request.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._close_after(self._head_timeout_seconds)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._close_after(self.timeout_keep_alive)

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
        if self._closes_at is None or self._is_answering():
            # The end of the answer sets the next moment.
            return
        if self._closes_at > self.loop.time():
            self._look_at(self._closes_at)
        elif self._in_head:
            self._refuse(Problem("request_timeout", f"Send its head within {self._head_timeout_seconds:g} s"))
        else:
            super().timeout_keep_alive_handler()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()


class _HeadTooLargeError(Exception):
    pass


class _Dropped(list[tuple[bytes, bytes]]):
    def append(self, _: tuple[bytes, bytes]) -> None:
        pass


class _InProgress:
    """A request on the short way: the waiter of its decision, and in uvicorn's eyes the cycle of its connection."""

    __slots__ = ("_endpoint", "_protocol", "disconnected", "keep_alive", "response_complete", "taken")

    def __init__(self, protocol: ShortWayProtocol, endpoint: Endpoint[Any, Any], keep_alive: bool) -> None:
        self._protocol = protocol
        self._endpoint = endpoint
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False
        self.taken: Any

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
            answer = self._endpoint.answer(self.taken, result)
        except Exception as error:
            answer = self._endpoint.fail(self.taken, error)
        self._protocol.answer(self, answer)

    def set_exception(self, error: BaseException) -> None:
        self._protocol.answer(self, self._endpoint.fail(self.taken, error))


class _Rendered:
    """uvicorn's default headers (date among them) as bytes; it makes a new list each second."""

    source: list[tuple[bytes, bytes]] | None = None
    text = b""


def default_lines(state: ServerState) -> bytes:
    if _Rendered.source is not state.default_headers:
        _Rendered.source, _Rendered.text = state.default_headers, lines(tuple(state.default_headers))
    return _Rendered.text
