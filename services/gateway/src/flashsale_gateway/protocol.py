"""uvicorn's HTTP/1.1 protocol with a short way for orders: an order that arrives whole is decided without a task, a scope or a message.

Everything else goes the way uvicorn sends it: other paths and methods, HTTP/1.0, an order whose body is still on its way, comes in chunks
or behind another request of its connection. To uvicorn an order on the short way looks like a request cycle in progress, so that
pipelining, keep-alive and graceful shutdown are uvicorn's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from flashsale_gateway.answers import Answer, lines
from flashsale_gateway.orders import PATH, Orders, Taken
from flashsale_gateway.problems import Problem

if TYPE_CHECKING:
    import asyncio

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from flashsale_gateway.store import Result

_URL = PATH.encode()
_CLOSE = b"connection: close\r\n"


class OrderProtocol(HttpToolsProtocol):
    """One connection. `config.app` is the Gateway; its `orders` are there once its lifespan has begun."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.orders: Orders = config.app.orders  # type: ignore[union-attr] # uvicorn's type allows an import string; __main__ gives the object
        self._body: bytes | None = None
        """Of an order that is being read on the short way."""
        self._idle_since: float | None = None

    # What the parser calls.

    def on_message_begin(self) -> None:
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        if self._may_be_short():
            self._body = b""
        else:
            self._go_the_long_way()

    def on_body(self, body: bytes) -> None:
        if self._body is None:
            super().on_body(body)
        else:
            self._body += body

    def on_message_complete(self) -> None:
        if self._body is None:
            super().on_message_complete()
            return
        body, self._body = self._body, None
        self._take(body)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._body is not None and not self.transport.is_closing():
            # The rest is yet to come: ASGI has the patience, its limits and its back-pressure.
            body, self._body = self._body, None
            self._go_the_long_way()
            if body:
                super().on_body(body)

    def _may_be_short(self) -> bool:
        cycle = self.cycle
        return (
            self.url == _URL
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

    # The short way.

    def _take(self, body: bytes) -> None:
        order = _InProgress(self, self.parser.should_keep_alive())
        self.cycle = order  # type: ignore[assignment] # it has what uvicorn asks of a cycle
        try:
            order.taken = self.orders.take(self.headers, body, order)
        except Problem as problem:
            self.answer(order, self.orders.refuse(problem))
        except Exception as error:
            # The edge: a fault of ours is one order's, not the connection's.
            self.answer(order, self.orders.refuse(self.orders.fault(error)))

    def answer(self, order: _InProgress, answer: Answer) -> None:
        order.response_complete = True
        if not order.disconnected:
            defaults = _default_lines(self.server_state)
            self.transport.write(answer.wire(defaults if order.keep_alive else defaults + _CLOSE))
            if not order.keep_alive:
                self.transport.close()
        self.on_response_complete()

    # Keep-alive with one timer a connection, not two timer calls a request.

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if self._idle_since is None:
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left <= 0:
            super().timeout_keep_alive_handler()
        else:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        super()._unset_keepalive_if_required()

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = None


class _InProgress:
    """An order on the short way: the waiter of its decision, and in uvicorn's eyes the cycle of its connection."""

    __slots__ = ("_protocol", "disconnected", "keep_alive", "response_complete", "taken")

    def __init__(self, protocol: OrderProtocol, keep_alive: bool) -> None:
        self._protocol = protocol
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False
        self.taken: Taken

    @property
    def message_event(self) -> _InProgress:
        """Uvicorn sets it when the client is gone; nobody here waits for that."""
        return self

    def set(self) -> None:
        pass

    def done(self) -> bool:
        return self.response_complete

    def set_result(self, result: Result) -> None:
        orders = self._protocol.orders
        try:
            answer = orders.answer(self.taken, result)
        except Exception as error:
            answer = orders.fail(self.taken, error)
        self._protocol.answer(self, answer)

    def set_exception(self, error: BaseException) -> None:
        self._protocol.answer(self, self._protocol.orders.fail(self.taken, error))


class _Rendered:
    """uvicorn's default headers (date among them) as bytes; it makes a new list each second."""

    source: list[tuple[bytes, bytes]] | None = None
    text = b""


def _default_lines(state: ServerState) -> bytes:
    if _Rendered.source is not state.default_headers:
        _Rendered.source, _Rendered.text = state.default_headers, lines(tuple(state.default_headers))
    return _Rendered.text
