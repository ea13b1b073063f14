"""The fast path for orders and payments: a request that arrives whole needs no task, no ASGI scope and no message.

Everything else goes through uvicorn to ASGI: other paths and methods, HTTP/1.0, a request whose body is incomplete, and a
request behind another one of its connection. To uvicorn a request on the fast path looks like a request cycle in
progress, so pipelining, keep-alive and graceful shutdown remain uvicorn's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flashsale_gateway.http.answers import CLOSE, Answer, default_header_lines
from flashsale_gateway.http.ports import is_for_pages
from flashsale_gateway.http.request_reader import RequestReader

if TYPE_CHECKING:
    import asyncio

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from flashsale_gateway.http.endpoints import Endpoint
    from flashsale_gateway.store import Result


class FastPathProtocol(RequestReader):
    """One connection. `config.app` is the Gateway, whose endpoints exist once its lifespan has begun."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._endpoints = {path.encode(): endpoint for path, endpoint in self._gateway.endpoints.items()}
        self._cors = self._gateway.cors
        self._paths_for_pages = frozenset(path for path in self._endpoints if is_for_pages(path.decode()))

    def _may_take_fast_path(self) -> bool:
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

    def _accept(self, body: bytes) -> None:
        endpoint = self._endpoints[self.url]
        cors_lines = self._cors.lines_for(self.headers) if self._cors is not None and self.url in self._paths_for_pages else b""
        request = _FastRequest(self, endpoint, self.parser.should_keep_alive(), cors_lines)
        self.cycle = self._answering = request  # type: ignore[assignment] # it has what uvicorn asks of a cycle
        try:
            request.pending = endpoint.accept(self.headers, body, request, self.client[0] if self.client else "")
        except Exception as error:
            # Broad on purpose: a fault of ours costs one request, not the connection.
            self.answer(request, endpoint.fail(error))

    def answer(self, request: _FastRequest, answer: Answer) -> None:
        request.response_complete = True
        if not request.disconnected and not self.transport.is_closing():
            defaults = default_header_lines(self.server_state) + request.cors_lines
            self.transport.write(answer.wire(defaults if request.keep_alive else defaults + CLOSE))
            if not request.keep_alive:
                self._close()
        self.on_response_complete()


class _FastRequest:
    """A request on the fast path: the waiter of its decision, and to uvicorn the cycle of its connection."""

    __slots__ = ("_endpoint", "_protocol", "cors_lines", "disconnected", "keep_alive", "pending", "response_complete")

    def __init__(self, protocol: FastPathProtocol, endpoint: Endpoint[Any, Any], keep_alive: bool, cors_lines: bytes) -> None:
        self._protocol = protocol
        self._endpoint = endpoint
        self.keep_alive = keep_alive
        self.cors_lines = cors_lines
        self.disconnected = False
        self.response_complete = False
        self.pending: Any

    @property
    def message_event(self) -> _FastRequest:
        """uvicorn sets it when the client has left; nothing on the fast path waits for that."""
        return self

    def set(self) -> None:
        pass

    def done(self) -> bool:
        return self.response_complete

    def set_result(self, result: Result) -> None:
        try:
            answer = self._endpoint.answer(self.pending, result)
        except Exception as error:
            answer = self._endpoint.fail(error, self.pending)
        self._protocol.answer(self, answer)

    def set_exception(self, error: BaseException) -> None:
        self._protocol.answer(self, self._endpoint.fail(error, self.pending))
