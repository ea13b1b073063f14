"""`python -m flashsale_ledger_api`: one process, one event loop, one uvicorn."""

import sys
from typing import Any

import uvicorn

from flashsale_core.errors import SettingsError
from flashsale_core.logs import configure_logging
from flashsale_ledger_api.app import create_app
from flashsale_ledger_api.connection import Connection
from flashsale_ledger_api.settings import Settings, read_settings

UVICORN: dict[str, Any] = {
    "loop": "uvloop",
    "http": Connection,
    "ws": "none",
    "access_log": False,
    "log_config": None,
    "server_header": False,
    "proxy_headers": False,
}


def main() -> int:
    try:
        settings = read_settings()
    except SettingsError as error:
        print(f"flashsale-ledger-api: {error}", file=sys.stderr)  # noqa: T201 - without settings, logging is not configured
        return 2
    configure_logging(settings.log_level)
    uvicorn.Server(server_config(settings)).run()
    return 0


def server_config(settings: Settings) -> uvicorn.Config:
    # Probes have a port of their own, so a crowd that reaches this limit neither fails them nor hides the metrics.
    return uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        limit_concurrency=settings.requests_max,
        timeout_graceful_shutdown=int(settings.shutdown_timeout_seconds),
        **UVICORN,
    )


if __name__ == "__main__":
    sys.exit(main())
