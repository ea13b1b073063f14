"""A service that is asked for more than it may do at once refuses in its own form, and says when to come again."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path

import pytest
import uvicorn

from flashsale_console.__main__ import server_config as console_config
from flashsale_console.answers import HEADERS
from flashsale_ledger_api.__main__ import server_config as ledger_api_config
from tests.unit.console.test_settings import settings as console_settings
from tests.unit.console.test_users import HASH
from tests.unit.ledger_api.test_settings import settings as ledger_api_settings

WAIT_SECONDS = 30.0


@asynccontextmanager
async def serving(config: uvicorn.Config) -> AsyncIterator[int]:
    """The port of the service, which runs without its stores."""
    config.lifespan = "off"
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        running = asyncio.create_task(server.serve(sockets=[listening]))
        async with asyncio.timeout(WAIT_SECONDS):
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await asyncio.wait_for(running, WAIT_SECONDS)


def get(port: int, path: str) -> tuple[int, HTTPMessage, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


# uvicorn counts the connection of the request itself, so a limit of 1 refuses every request.
@pytest.mark.parametrize(("requests_max", "status"), [(1, 503), (2, 401)])
async def test_ledger_api_refuses_what_is_too_much_with_a_problem(requests_max: int, status: int) -> None:
    key = {"FLASHSALE_ADMIN_TOKEN": "t" * 8}
    async with serving(ledger_api_config(ledger_api_settings(**key, FLASHSALE_LEDGER_API_REQUESTS_MAX=str(requests_max)))) as port:
        answered, headers, body = await asyncio.to_thread(get, port, "/admin/refunds")
    assert (answered, headers["content-type"]) == (status, "application/problem+json")
    if status == 503:
        assert (headers["retry-after"], headers["connection"], '"code":"overloaded"' in body) == ("2", "close", True)


@pytest.mark.parametrize(("requests_max", "status"), [(1, 503), (2, 404)])
async def test_console_refuses_what_is_too_much_with_a_page(requests_max: int, status: int, tmp_path: Path) -> None:
    (tmp_path / "users").write_text(f"mia:merchant:{HASH}\n")
    more = {"FLASHSALE_CONSOLE_USERS_FILE": str(tmp_path / "users"), "FLASHSALE_CONSOLE_REQUESTS_MAX": str(requests_max)}
    async with serving(console_config(console_settings(**more))) as port:
        answered, headers, body = await asyncio.to_thread(get, port, "/nothing")
    assert (answered, headers["content-type"], body.startswith("<!doctype html>")) == (status, "text/html; charset=utf-8", True)
    assert {name: headers[name] for name in HEADERS} == HEADERS
    if status == 503:
        assert (headers["retry-after"], headers["connection"]) == ("2", "close")
