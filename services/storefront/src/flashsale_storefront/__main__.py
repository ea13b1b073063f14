"""`python -m flashsale_storefront`: one process, one event loop, one uvicorn."""

import sys
from typing import Any

import uvicorn

from flashsale_core.errors import SettingsError
from flashsale_core.file_limit import fit_to_file_limit
from flashsale_core.logs import configure_logging
from flashsale_storefront.app import Storefront
from flashsale_storefront.connection import RESERVED_DESCRIPTORS, Connections
from flashsale_storefront.server import Server
from flashsale_storefront.settings import Settings, read_settings

UVICORN: dict[str, Any] = {
    "loop": "uvloop",
    "ws": "none",
    "access_log": False,
    "log_config": None,
    "server_header": False,
    "backlog": 4096,
}


def main() -> int:
    try:
        settings = read_settings()
    except SettingsError as error:
        print(f"flashsale-storefront: {error}", file=sys.stderr)  # noqa: T201 - without settings, logging is not configured
        return 2
    configure_logging(settings.log_level)
    storefront = Storefront(settings)
    Server(server_config(storefront, settings), storefront.end_streams).run()
    return 0


def server_config(storefront: Storefront, settings: Settings) -> uvicorn.Config:
    connections_max = fit_to_file_limit(settings.connections_max, RESERVED_DESCRIPTORS, "FLASHSALE_CONNECTIONS_MAX")
    return uvicorn.Config(
        storefront,
        host=settings.host,
        port=settings.port,
        http=Connections(storefront, connections_max, settings.head_timeout_seconds, settings.write_timeout_seconds),  # type: ignore[arg-type]
        timeout_keep_alive=settings.keep_alive_seconds,  # type: ignore[arg-type] # it takes fractions as well
        timeout_graceful_shutdown=settings.shutdown_timeout_seconds,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        **UVICORN,
    )


if __name__ == "__main__":
    sys.exit(main())
