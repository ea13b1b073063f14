"""Connections of the admin port: a limit of their own, and no fast path.

A crowd that takes every connection of the buyers' port must not keep an administrator, a scrape or a probe out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flashsale_gateway.http.connection_limit import RefusedConnection
from flashsale_gateway.http.request_reader import RequestReader

if TYPE_CHECKING:
    import asyncio

    from uvicorn.config import Config
    from uvicorn.server import ServerState

ADMIN_CONNECTIONS_MAX = 64
"""Scrapes, probes and administrators, with room to spare."""


class AdminPort:
    """Gives each new connection of the admin port its protocol. uvicorn calls it in place of a protocol class."""

    def __init__(self, connections_max: int = ADMIN_CONNECTIONS_MAX) -> None:
        self._connections_max = connections_max
        self._open: set[AdminConnection] = set()
        self._refused: set[RefusedConnection] = set()

    def __call__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
    ) -> asyncio.Protocol:
        if len(self._open) < self._connections_max:
            return AdminConnection(self._open, config, server_state, app_state, _loop)
        return RefusedConnection(server_state, self._refused)


class AdminConnection(RequestReader):
    """A connection whose requests all go through ASGI to the gateway's admin application."""

    def __init__(
        self,
        opened: set[AdminConnection],
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.app = self._gateway.serve_admin
        self._opened = opened

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._opened.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._opened.discard(self)
        super().connection_lost(exc)

    def _may_take_fast_path(self) -> bool:
        return False

    def _accept(self, body: bytes) -> None:
        raise AssertionError("no request of the admin port takes the fast path")
