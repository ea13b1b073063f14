"""A bound on connections, and an answer for those past it.

Each is a descriptor, and so is each way to Redis and to the broker: a stampede that took them all would take the gateway its stores, too.
"""

import asyncio
import logging
import resource
from typing import TYPE_CHECKING, Any

from flashsale_gateway import metrics
from flashsale_gateway.http.fast_path import CLOSE, FastPathProtocol, default_lines
from flashsale_gateway.http.problems import Problem

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

RESERVED_DESCRIPTORS = 512
"""For the stores, the listening socket's many, probes, files, and connections that are being refused."""
REFUSALS_MAX = 128
"""Connections that wait for their refusal at once. What comes on top is closed without a word."""
REFUSAL_SECONDS = 1.0
"""How long a connection that is one too many may be silent."""
_TOO_MANY = Problem("overloaded", "Too many connections")

log = logging.getLogger(__name__)


class ConnectionLimit:
    """Gives each new connection its protocol: what uvicorn takes for a protocol's class."""

    def __init__(self, connections_max: int) -> None:
        self._connections_max = connections_max
        self._refused: set[_Refused] = set()

    def __call__(
        self, config: "Config", server_state: "ServerState", app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
    ) -> asyncio.Protocol:
        # Those of this turn of the loop are not in it yet: RESERVED_DESCRIPTORS has room for them.
        if len(server_state.connections) < self._connections_max:
            return FastPathProtocol(config, server_state, app_state, _loop)
        metrics.CONNECTIONS_REFUSED.inc()
        return _Refused(server_state, self._refused)


class _Refused(asyncio.Protocol):
    """Whatever it asks gets 503: an answer before the question might be lost, for a connection closed with bytes unread is reset."""

    def __init__(self, server_state: "ServerState", refused: "set[_Refused]") -> None:
        self._server_state = server_state
        self._refused = refused
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn: it is no BaseTransport
        self._transport = transport
        if len(self._refused) >= REFUSALS_MAX:
            transport.abort()
            return
        self._refused.add(self)
        self._timer = asyncio.get_running_loop().call_later(REFUSAL_SECONDS, transport.close)

    def data_received(self, _: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(_TOO_MANY.answer.wire(default_lines(self._server_state) + CLOSE))
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        self._refused.discard(self)
        if self._timer is not None:
            self._timer.cancel()


def fit_to_file_limit(connections_max: int) -> int:
    """As many of these connections as the system has descriptors for. Raises the process's own limit as far as that takes and may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections_max + RESERVED_DESCRIPTORS
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    if limit == wanted:
        return connections_max
    possible = max(1, limit - RESERVED_DESCRIPTORS)
    reason = f"FLASHSALE_CONNECTIONS_MAX is {connections_max}, and the limit of open files {hard}: raise the one or lower the other"
    log.warning("connections.limited", extra={"connections_max": possible, "reason": reason})
    return possible
