"""One client connection: uvicorn's, with bounds for clients that may send anything, and a fast path for the live document.

The live document is a lookup in memory, so it is written from the parser's callback, without a task and without ASGI. Everything else,
and a request behind another one of its connection, goes through ASGI.

A page polls with the same bytes again and again. Bytes that were exactly one such request mean the same request whenever they come between
two messages (RFC 9112: a message does not depend on those before it), so they are answered without being parsed again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from flashsale_core.connection_timer import ConnectionTimer
from flashsale_storefront import metrics
from flashsale_storefront.answers import Header, of_problem
from flashsale_storefront.problems import Problem

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from uvicorn.config import Config
    from uvicorn.server import ServerState

HEAD_BYTES_MAX = 16_384
PIPELINED_MAX = 16
"""Requests of one connection that wait behind the one being answered."""
UNREAD_BYTES_MAX = 16_384
"""Bytes of answers that may wait for a client before it counts as not reading."""
RESERVED_DESCRIPTORS = 64
"""For Redis, probes, listening sockets and files."""
POLL_BYTES_MAX = 1024
"""A longer poll is parsed each time, because each connection keeps its last one."""
CLOSE = (b"connection", b"close")
_TOO_MANY = of_problem(Problem("overloaded", "Too many connections"))


class App(Protocol):
    def live_answer(self, path: bytes, defaults: Iterable[Header]) -> bytes | None:
        """The answer to GET if it is in memory; None if the request must go through ASGI."""
        ...


class Poll(NamedTuple):
    """A request that `live_answer` has answered."""

    path: bytes
    request: bytes = b""
    """Its bytes."""


class Connections:
    """Gives each new connection its protocol; uvicorn calls it in place of a protocol class."""

    def __init__(self, app: App, connections_max: int, head_timeout_seconds: float, write_timeout_seconds: float) -> None:
        self.app = app
        self.head_timeout_seconds = head_timeout_seconds
        self.write_timeout_seconds = write_timeout_seconds
        self._connections_max = connections_max
        for reason in ("full", "slow_head", "large_head", "pipelined", "unread"):
            metrics.CONNECTIONS_ENDED.labels(reason)

    def __call__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
    ) -> Connection:
        is_refused = len(server_state.connections) >= self._connections_max
        return Connection(self, is_refused, config, server_state, app_state, _loop)


class Connection(HttpToolsProtocol):
    def __init__(self, shared: Connections, is_refused: bool, *options: Any) -> None:
        super().__init__(*options)
        self._shared = shared
        self._is_refused = is_refused
        self._head_bytes = 0
        self._in_head = True
        """No request has come yet, or the head of one has begun and is not complete."""
        self._silence_timer = ConnectionTimer(self.loop, self._end_silent)
        """Unset while a request is answered."""
        self._unread_timer = ConnectionTimer(self.loop, self._abort_unread)
        self._is_between_messages = True
        self._begun = 0
        """Messages that have begun in the bytes being parsed."""
        self._poll: Poll | None = None
        self._last_poll: Poll | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=UNREAD_BYTES_MAX)
        self._silence_timer.set(self._shared.head_timeout_seconds)

    def data_received(self, data: bytes) -> None:
        if self._last_poll is not None and data == self._last_poll.request and self._is_idle() and self._answer(self._last_poll):
            return
        if self._is_refused:
            self._refuse()
            return
        was_between, self._begun, self._poll = self._is_between_messages, 0, None
        if not self._in_head and (self.cycle is None or self.cycle.response_complete):
            self._in_head = True
            self._silence_timer.set(self._shared.head_timeout_seconds)
        self._head_bytes += len(data)
        super().data_received(data)
        if self._poll is not None and was_between and self._is_between_messages and self._begun == 1 and len(data) <= POLL_BYTES_MAX:
            self._last_poll = self._poll._replace(request=data)
        if self.transport.is_closing():
            return
        if self._in_head and self._head_bytes > HEAD_BYTES_MAX:
            self._end("large_head")
        elif len(self.pipeline) > PIPELINED_MAX:
            self._end("pipelined")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_between_messages = False
        self._begun += 1
        self.scope["extensions"] = {"flashsale.abort": {"call": self._abort_slow}}

    def on_headers_complete(self) -> None:
        self._head_bytes = 0
        self._in_head = False
        self._silence_timer.unset()
        if self._may_answer_here():
            poll = Poll(self.url)
            if self._answer(poll):
                self._poll = poll
                return
        super().on_headers_complete()

    def _answer(self, poll: Poll) -> bool:
        """Whether the answer was in memory, and is written."""
        answer = self._shared.app.live_answer(poll.path, self.server_state.default_headers)
        if answer is None:
            return False
        self.server_state.total_requests += 1
        self.transport.write(answer)
        self._silence_timer.set(self.timeout_keep_alive)
        return True

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None:
            # uvicorn's timer would close the connection although the next request may be here, unread.
            self._unset_keepalive_if_required()
            self._silence_timer.set(self.timeout_keep_alive)

    def on_body(self, body: bytes) -> None:
        if self.cycle is not None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_between_messages = True
        if self.cycle is not None:
            super().on_message_complete()

    def _may_answer_here(self) -> bool:
        return (
            self.parser.get_method() == b"GET"
            and (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and not self.parser.should_upgrade()
        )

    def _is_idle(self) -> bool:
        """Whether what comes now is the beginning of a message, and nothing waits before it."""
        return (
            self._is_between_messages
            and not self._in_head
            and (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
            and not self.transport.is_closing()
        )

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread_timer.set(self._shared.write_timeout_seconds)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread_timer.unset()

    def connection_lost(self, exc: Exception | None) -> None:
        self._silence_timer.end()
        self._unread_timer.end()
        self._unset_keepalive_if_required()
        self.pipeline.clear()
        super().connection_lost(exc)

    def _refuse(self) -> None:
        """Answered on the first bytes, because closing with bytes unread resets the connection and loses the answer."""
        if not self.transport.is_closing():
            metrics.CONNECTIONS_ENDED.labels("full").inc()
            self.transport.write(_TOO_MANY.wire((*self.server_state.default_headers, CLOSE)))
            self.transport.close()

    def _end_silent(self) -> None:
        if self._in_head:
            self._end("slow_head")
        else:
            self.transport.close()

    def _end(self, reason: str) -> None:
        if not self.transport.is_closing():
            metrics.CONNECTIONS_ENDED.labels(reason).inc()
            self.transport.close()

    def _abort_unread(self) -> None:
        metrics.CONNECTIONS_ENDED.labels("unread").inc()
        self.transport.abort()

    def _abort_slow(self) -> None:
        self.transport.abort()
