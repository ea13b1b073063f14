"""What a fault of the storefront itself looks like."""

from typing import Any

import pytest

from flashsale_core.settings import Environment
from flashsale_storefront.app import Storefront
from flashsale_storefront.settings import read_settings
from tests.unit.storefront.test_settings import ENV

# A storefront whose lifespan has not begun knows no sales, so whatever reads them fails.
STOREFRONT = Storefront(read_settings(Environment(ENV)))


async def answer_of(path: str, accept: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is received")

    await STOREFRONT({"type": "http", "method": "GET", "path": path, "headers": [(b"accept", accept)]}, receive, send)
    start, body = messages
    return start["status"], dict(start["headers"]), body["body"]


async def test_fault_shows_people_a_page_that_asks_again_by_itself() -> None:
    status, headers, body = await answer_of("/s/shoe", b"text/html,*/*;q=0.8")
    assert (status, headers[b"content-type"]) == (500, b"text/html; charset=utf-8")
    assert [
        words in body for words in (b">shoe</h1>", b'data-sale="shoe"', b"This page asks again by itself.", b'http-equiv="refresh"')
    ] == [True] * 4


@pytest.mark.parametrize("accept", [b"*/*", b"application/json", b""])
async def test_fault_tells_programs_what_they_can_read(accept: bytes) -> None:
    status, headers, body = await answer_of("/s/shoe/live", accept)
    assert (status, headers[b"content-type"]) == (500, b"application/problem+json")
    assert b'"internal"' in body
