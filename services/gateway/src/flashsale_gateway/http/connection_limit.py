"""Where connections are accepted: a limit on their number, and an answer for those past it.

Each connection needs a file descriptor, and so do the connections to Redis and to the broker. Without a limit a stampede would
cut the gateway off from its stores.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from flashsale_core.connection_timer import ConnectionTimer
from flashsale_gateway import metrics
from flashsale_gateway.http.answers import CLOSE, default_header_lines
from flashsale_gateway.http.fast_path import FastPathProtocol
from flashsale_gateway.http.problems import Problem

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from flashsale_gateway.http.cors import Cors

RESERVED_DESCRIPTORS = 768
"""For the stores, the listening sockets' descriptors, the admin port, files, and connections that are being refused."""
REFUSALS_MAX = 128
"""Connections that wait for their refusal at once. Further ones are closed without an answer."""
REFUSAL_SECONDS = 1.0
"""How long a connection past the limit may stay silent."""
_TOO_MANY = Problem("overloaded", "Too many connections")


class ConnectionLimit:
    """Gives each new connection its protocol. uvicorn calls it in place of a protocol class."""

    def __init__(self, connections_max: int, cors: "Cors | None" = None) -> None:
        self._connections_max = connections_max
        self._cors = cors
        self._refused: set[RefusedConnection] = set()

    def __call__(
        self, config: "Config", server_state: "ServerState", app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
    ) -> asyncio.Protocol:
        # Connections accepted in this turn of the loop are not counted yet: RESERVED_DESCRIPTORS has room for them.
        if len(server_state.connections) < self._connections_max:
            return FastPathProtocol(config, server_state, app_state, _loop)
        metrics.CONNECTIONS_REFUSED.inc()
        return RefusedConnection(server_state, self._refused, self._cors)


class RefusedConnection(asyncio.Protocol):
    """Answers the first bytes with 503. It waits for them, because closing with bytes unread resets the connection and loses the answer."""

    def __init__(self, server_state: "ServerState", refused: "set[RefusedConnection]", cors: "Cors | None" = None) -> None:
        self._server_state = server_state
        self._cors = cors
        self._refused = refused
        self._transport: asyncio.Transport
        self._timer: ConnectionTimer | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn: not a BaseTransport
        self._transport = transport
        if len(self._refused) >= REFUSALS_MAX:
            transport.abort()
            return
        self._refused.add(self)
        self._timer = ConnectionTimer(asyncio.get_running_loop(), transport.close)
        self._timer.set(REFUSAL_SECONDS)

    def data_received(self, head: bytes) -> None:
        if not self._transport.is_closing():
            cors_lines = self._cors.lines_for_unparsed(head) if self._cors is not None else b""
            self._transport.write(_TOO_MANY.answer.wire(default_header_lines(self._server_state) + cors_lines + CLOSE))
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        self._refused.discard(self)
        if self._timer is not None:
            self._timer.end()
