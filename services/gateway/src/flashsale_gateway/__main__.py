"""`python -m flashsale_gateway`: one process, one event loop, one uvicorn."""

import sys
from typing import Any

import uvicorn

from flashsale_core.errors import SettingsError
from flashsale_core.file_limit import fit_to_file_limit
from flashsale_core.logs import configure_logging
from flashsale_gateway.app import Gateway
from flashsale_gateway.http.admin_port import AdminPort
from flashsale_gateway.http.connection_limit import RESERVED_DESCRIPTORS, ConnectionLimit
from flashsale_gateway.http.server import Server
from flashsale_gateway.settings import Settings, read_settings

# The bench runs its bare endpoint with the same options, except for the fast path.
UVICORN: dict[str, Any] = {
    "loop": "uvloop",
    "http": "httptools",
    "ws": "none",
    "access_log": False,
    "log_config": None,
    "server_header": False,
    "proxy_headers": False,
    "backlog": 4096,
}


def main() -> int:
    try:
        settings = read_settings()
    except SettingsError as error:
        print(f"flashsale-gateway: {error}", file=sys.stderr)  # noqa: T201 - without settings, logging is not configured
        return 2
    configure_logging(settings.log_level)
    config = server_config(settings)
    Server(config, admin_config(config, settings.admin_port) if settings.admin_port else None).run()
    return 0


def server_config(settings: Settings) -> uvicorn.Config:
    gateway = Gateway(settings)
    connections_max = fit_to_file_limit(settings.connections_max, RESERVED_DESCRIPTORS, "FLASHSALE_CONNECTIONS_MAX")
    options = UVICORN | {
        "http": ConnectionLimit(connections_max, gateway.cors),
        "timeout_keep_alive": settings.keep_alive_seconds,
        "timeout_graceful_shutdown": settings.shutdown_timeout_seconds,
    }
    return uvicorn.Config(gateway, host=settings.host, port=settings.port, **options)


def admin_config(config: uvicorn.Config, port: int) -> uvicorn.Config:
    """The admin port of the same gateway."""
    options = UVICORN | {"http": AdminPort(), "timeout_keep_alive": config.timeout_keep_alive}
    return uvicorn.Config(config.app, host=config.host, port=port, **options)


if __name__ == "__main__":
    sys.exit(main())
