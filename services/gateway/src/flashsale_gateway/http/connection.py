"""One client connection: the order of its answers, its timeouts, and its end.

A client may send anything. Answers go out in the order of the requests, or the connection closes without them.
What a connection keeps in memory is bounded: by itself here, and over all connections in client_buffers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from flashsale_core.connection_timer import ConnectionTimer
from flashsale_gateway import metrics
from flashsale_gateway.http.answers import CLOSE, default_header_lines
from flashsale_gateway.http.client_buffers import UNREAD_BYTES_MAX
from flashsale_gateway.http.problems import Problem

if TYPE_CHECKING:
    import asyncio

    from uvicorn._types import ASGI3Application
    from uvicorn.config import Config
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
    from uvicorn.server import ServerState

    from flashsale_gateway.http.client_buffers import ClientBuffers
    from flashsale_gateway.http.cors import Cors
    from flashsale_gateway.http.endpoints import Endpoints
    from flashsale_gateway.settings import Settings

    class Gateway(Protocol):
        """The ASGI application, as its connections see it."""

        @property
        def client_buffers(self) -> ClientBuffers: ...

        @property
        def cors(self) -> Cors | None: ...

        @property
        def endpoints(self) -> Endpoints: ...

        @property
        def settings(self) -> Settings: ...

        async def serve_admin(self, scope: Any, receive: Any, send: Any) -> None: ...


class Connection(HttpToolsProtocol):
    """uvicorn's connection with timers of its own. It closes only behind the answers to earlier requests."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._gateway: Gateway = config.app  # type: ignore[assignment] # uvicorn's type allows an import string; __main__ gives the object
        self._client_buffers = self._gateway.client_buffers
        self._settings = self._gateway.settings
        self._head_timeout_seconds: float = self._settings.head_timeout_seconds

        self._answering: RequestResponseCycle | None = None
        """The request that is being answered. Those in `pipeline` wait behind it, and `cycle` is the last one received."""
        self._in_head = False
        """The head of a request has begun and is not complete."""
        self._in_body = False
        """A request that goes through ASGI has a complete head, and its body has not ended."""

        self._reading_ended = False
        """Nothing more is read: the connection closes behind the answers that are still to come."""
        self._closing_problem: Problem | None = None
        """The last answer, sent before the connection closes."""
        self._silence_timer = ConnectionTimer(self.loop, self._end_silent)
        """Unset while a request is read or answered."""
        self._unread_timer = ConnectionTimer(self.loop, self._check_unread)
        self._unread_bytes = 0
        """Bytes of answers that the client had not read when this was last checked."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=UNREAD_BYTES_MAX)
        self._silence_timer.set(self._head_timeout_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._reading_ended = True
        self._mark_disconnected()
        self._client_buffers.unstall(self)
        self._client_buffers.pipelined -= len(self.pipeline)
        self.pipeline.clear()
        super().connection_lost(exc)
        self._silence_timer.end()
        self._unread_timer.end()

    # Answers, in the order of their requests.

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._watch_unread()
        elif self.pipeline:
            # Read again only after the whole pipeline is answered: a client that only sends would keep it full for ever.
            self._client_buffers.pipelined -= 1
            self._start_asgi_task(*self.pipeline.pop())
        elif self._reading_ended:
            self._send_closing_problem()
        else:
            self.flow.resume_reading()
            # A head that has begun, and the rest of a body already answered, get less time than a silent client.
            self._silence_timer.set(self._head_timeout_seconds if self._in_head or self._in_body else self.timeout_keep_alive)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _mark_disconnected(self) -> None:
        """uvicorn marks the last request of a connection; the one being answered may be an earlier one."""
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True
            self._answering.message_event.set()

    # The end of a connection.

    def _end_reading(self, reason: str, problem: Problem | None) -> None:
        """Read nothing more. Close once the earlier requests are answered and `problem`, if any, is sent."""
        if self._reading_ended or self.transport.is_closing():
            return
        metrics.CONNECTIONS_ENDED.labels(reason).inc()
        self._reading_ended, self._closing_problem = True, problem
        self.flow.pause_reading()
        if self._in_body:
            self._drop_partial_request()
        if not self._is_answering():
            self._send_closing_problem()
        elif problem is None:
            # uvicorn then closes the connection behind this answer.
            self.cycle.keep_alive = False

    def _drop_partial_request(self) -> None:
        """Give up the request whose body was being read: its endpoint no longer answers it."""
        self._in_body = False
        if self.cycle.response_complete:
            self._closing_problem = None
        elif self.pipeline:
            self.pipeline.popleft()
            self._client_buffers.pipelined -= 1
            self.cycle = self.pipeline[0][0] if self.pipeline else self._answering  # type: ignore[assignment]
        else:
            self._mark_disconnected()
            if self.cycle.response_started:
                self._closing_problem = None
            self.cycle = None  # type: ignore[assignment]

    def _send_closing_problem(self) -> None:
        if self._closing_problem is not None and not self.transport.is_closing():
            self.transport.write(self._closing_problem.answer.wire(default_header_lines(self.server_state) + CLOSE))
        self._close()

    def _close(self) -> None:
        """Close when everything written has been sent, or at the write timeout."""
        self._reading_ended = True
        self.transport.close()
        self._watch_unread()

    # Silence, slow heads and keep-alive have one timer; uvicorn sets and cancels one for each request.

    def _end_silent(self) -> None:
        if self._is_answering():
            # The end of the answer sets the timer again.
            return
        if self._unread_bytes:
            # The client is not silent: it has answers to read, within a time of their own.
            self._silence_timer.set(self._settings.write_timeout_seconds)
        elif self._in_head:
            self._end_reading("slow_head", Problem("request_timeout", f"Send the request head within {self._head_timeout_seconds:g} s"))
        else:
            self._close()

    # Answers that the client does not read.

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_unread()
        self._client_buffers.stall(self, self._unread_bytes, self._abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._client_buffers.unstall(self)
        self._unread_bytes = 0
        self._unread_timer.unset()

    def _watch_unread(self) -> None:
        """Give a client that leaves answers unread the write timeout, again each time it has read some."""
        self._unread_bytes = self.transport.get_write_buffer_size()
        if self._unread_bytes:
            self._unread_timer.set(self._settings.write_timeout_seconds)

    def _check_unread(self) -> None:
        if self.transport.get_write_buffer_size() < self._unread_bytes:
            self._watch_unread()
        else:
            self._abort()

    def _abort(self) -> None:
        """End the connection of a client that does not read. Its answers are lost; it can repeat the requests."""
        metrics.CONNECTIONS_ENDED.labels("unread_answers").inc()
        self._reading_ended = True
        self.transport.abort()
