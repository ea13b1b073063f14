"""Pages of other origins: which paths and origins are allowed. Redis is not asked about it: no test here has one."""

from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message

from flashsale_core.settings import Environment
from flashsale_gateway.app import Gateway
from flashsale_gateway.http.cors import VARY, Cors
from flashsale_gateway.http.ports import is_for_pages
from flashsale_gateway.settings import read_settings
from tests.unit.gateway.test_settings import variables

SHOP, OTHER = "https://shop.example", "https://other.example"
HEAD = b"POST /order HTTP/1.1\r\nHost: gate\r\nOrigin: https://shop.example\r\nContent-Length: 2\r\n\r\n{}"


async def send(gateway: Gateway, method: str, path: str, origin: str, asked: str = "POST") -> tuple[int, dict[str, str]]:
    """The status and headers of an answer. The gateway has opened nothing."""
    headers = [(b"origin", origin.encode())] + ([(b"access-control-request-method", asked.encode())] if asked else [])
    scope = {"type": "http", "method": method, "path": path, "headers": headers, "query_string": b"", "root_path": "", "state": {}}
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def note(message: Any) -> None:
        sent.append(message)

    await gateway(scope, receive, note)
    return sent[0]["status"], {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}


def gateway(tmp_path: Path, **settings: str) -> Gateway:
    return Gateway(read_settings(Environment(variables(tmp_path) | settings)))


@pytest.mark.parametrize("path", ["/order", "/orders/shoe.abc", "/session", "/sales", "/sales/shoe"])
async def test_preflight_of_a_listed_origin_needs_no_store(tmp_path: Path, path: str) -> None:
    assert await send(gateway(tmp_path, FLASHSALE_CORS_ORIGINS=SHOP), "OPTIONS", path, SHOP) == (
        204,
        {
            "access-control-allow-origin": SHOP,
            "access-control-allow-methods": "GET, POST, DELETE",
            "access-control-allow-headers": "authorization, content-type, idempotency-key, traceparent, tracestate",
            "access-control-expose-headers": "retry-after, idempotent-replayed, etag, date, www-authenticate",
            "access-control-max-age": "7200",
            "cache-control": "no-store",
            "vary": "Origin",
        },
    )


async def test_preflight_of_another_origin_is_refused(tmp_path: Path) -> None:
    status, headers = await send(gateway(tmp_path, FLASHSALE_CORS_ORIGINS=SHOP), "OPTIONS", "/order", OTHER)
    assert (status, headers["vary"], [name for name in headers if name.startswith("access-control")]) == (403, "Origin", [])


@pytest.mark.parametrize("path", ["/admin/stock", "/payments/webhook", "/metrics", "/healthz", "/docs", "/orderly", "/nothing", "*"])
async def test_other_paths_are_not_for_pages(tmp_path: Path, path: str) -> None:
    assert not is_for_pages(path)
    open_to_pages = gateway(tmp_path, FLASHSALE_CORS_ORIGINS=SHOP, FLASHSALE_ADMIN_PORT="8001")
    if path in ("/admin/stock", "/metrics"):
        _, headers = await send(open_to_pages, "OPTIONS", path, SHOP)
        assert not {"vary", "access-control-allow-origin"} & set(headers)


def test_without_origins_nothing_is_added(tmp_path: Path) -> None:
    assert gateway(tmp_path).cors is None


def test_answers_without_an_allowed_origin_only_vary() -> None:
    cors = Cors([SHOP])
    assert cors.headers_for(None) == cors.headers_for(OTHER.encode()) == cors.headers_for(b"") == VARY
    assert cors.lines_for([(b"host", b"gate")]) == cors.lines_for([(b"origin", b"null")]) == b"vary: Origin\r\n"


@pytest.mark.parametrize(
    ("head", "allowed"),
    [
        (HEAD, True),
        (HEAD.replace(b"Origin:", b"ORIGIN:  ").replace(b"/order", b"/sales?after=x"), True),
        (HEAD.replace(b"shop", b"other"), False),
        (HEAD.replace(b"/order", b"/admin/stock"), False),
        (HEAD.replace(b"/order", b"/payments/webhook"), False),
        (HEAD[:50], False),
        (b"\x16\x03\x01", False),
    ],
)
def test_head_that_nobody_parses_has_its_path_and_origin_found(head: bytes, allowed: bool) -> None:
    assert (b"access-control-allow-origin: https://shop.example\r\n" in Cors([SHOP]).lines_for_unparsed(head)) == allowed
