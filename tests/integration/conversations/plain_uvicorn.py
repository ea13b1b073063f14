"""`python -m tests.integration.conversations.plain_uvicorn`: the gateway as uvicorn runs any application, without the fast path."""

import sys

import uvicorn

from flashsale_core.logs import configure_logging
from flashsale_gateway.__main__ import UVICORN
from flashsale_gateway.app import Gateway
from flashsale_gateway.http.server import Server
from flashsale_gateway.settings import read_settings


def main() -> int:
    settings = read_settings()
    configure_logging(settings.log_level)
    Server(uvicorn.Config(Gateway(settings), host=settings.host, port=settings.port, **UVICORN)).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
