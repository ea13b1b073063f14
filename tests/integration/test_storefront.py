"""The storefront with a real Redis and the sales of a real gateway."""

import http.client
import json
import re
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from redis import Redis

from flashsale_core.keys import shard_keys, shard_of
from flashsale_local_stack import Stack, wait_until
from tests.integration.client import Client
from tests.integration.storefronts import Storefront, storefront_on

QUICK = {
    "FLASHSALE_STOREFRONT_REFRESH_MS": "100",
    "FLASHSALE_STOREFRONT_STALE_SECONDS": "5",
    "FLASHSALE_STOREFRONT_KEEPALIVE_SECONDS": "0.5",
    "FLASHSALE_STOREFRONT_STREAMS_PER_ADDRESS_MAX": "3",
}

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
"""What a browser accepts when somebody opens an address."""
PATIENCE_SECONDS = 60
"""For what takes a moment on a quick machine."""


@pytest.fixture(scope="module")
def shop(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storefront]:
    with storefront_on(stack.env(), tmp_path_factory.mktemp("storefront") / "log", **QUICK) as storefront:
        yield storefront


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


def get(shop: Storefront, path: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> Reply:
    address = urlsplit(shop.url)
    with closing(http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)) as connection:
        connection.request(method, path, None, dict(headers or {}))
        answer = connection.getresponse()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


def live(shop: Storefront, sale: str) -> Any:
    return json.loads(get(shop, f"/s/{sale}/live").body)


class Events:
    """An event stream, read line by line."""

    def __init__(self, shop: Storefront, sale: str) -> None:
        address = urlsplit(shop.url)
        self._connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=PATIENCE_SECONDS)
        self._connection.request("GET", f"/s/{sale}/events")
        self.answer = self._connection.getresponse()

    def next(self, kind: str = "") -> Any:
        """The next event of that kind; raises EOFError at the end of the stream."""
        name = ""
        while line := self.answer.readline().decode():
            if line.startswith("event: "):
                name = line[7:].strip()
            elif line.startswith("data: "):
                if name == kind:
                    return json.loads(line[6:])
                name = ""
        raise EOFError

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, *_: object) -> None:
        self.answer.close()
        self._connection.close()


def test_live_document_follows_orders_and_is_for_caches(shop: Storefront, client: Client) -> None:
    sale = client.new_sale(5, maxPerUser=2, paymentWindowSeconds=60, price={"amountMinor": 4900, "currency": "EUR"})
    answer = get(shop, f"/sales/{sale}/live")
    assert (answer.status, answer.headers["cache-control"], answer.headers["access-control-allow-origin"]) == (
        200,
        "public, max-age=1",
        "*",
    )
    document = live(shop, sale)
    del document["serverTime"]
    assert document == {
        "productId": sale, "state": "on_sale", "available": 5, "reserved": 0, "stock": 5, "startsAt": None, "endsAt": None,
        "price": {"amountMinor": 4900, "currency": "EUR"}, "maxPerUser": 2, "paymentWindowSeconds": 60,
    }  # fmt: skip
    assert client.order(sale, "ann", 2).status == 200
    assert wait_until(lambda: live(shop, sale)["available"] == 3, PATIENCE_SECONDS)
    assert client.order(sale, "bob", 2).status == 200
    assert client.order(sale, "eve", 1).status == 200
    assert wait_until(lambda: live(shop, sale)["state"] == "sold_out", PATIENCE_SECONDS)
    assert client.admin({"productId": sale, "stock": 5, "paused": True}).status == 200
    assert wait_until(lambda: live(shop, sale)["state"] == "paused", PATIENCE_SECONDS)


def test_unknown_sales_and_wrong_requests_are_refused(shop: Storefront) -> None:
    assert get(shop, "/s/nobody/live").status == 404
    assert get(shop, "/s/no%7Bbody/live").status == 404
    assert get(shop, "/s/nobody").headers["content-type"].startswith("text/html")
    assert get(shop, "/s/nobody/live", method="POST").headers["allow"] == "GET, HEAD"
    assert get(shop, "/s/-/demo/payments", method="POST").status == 405
    assert get(shop, "/").status == 404


def test_person_whose_address_is_wrong_gets_a_page_and_a_program_does_not(shop: Storefront) -> None:
    assert b"<h1>Flash sale</h1>" in get(shop, "/s/").body
    for path in ("/", "/s/nobody/else", "/s/nobody/live"):
        page, document = get(shop, path, {"accept": BROWSER}), get(shop, path, {"accept": "*/*"})
        assert [answer.status for answer in (page, document)] == [404, 404], path
        assert b"There is no such sale" in page.body, path
        assert (page.headers["cache-control"], page.headers["vary"]) == ("no-store", "accept"), path
        assert document.headers["content-type"] == "application/problem+json", path


def test_stream_has_each_change_and_the_time(shop: Storefront, client: Client) -> None:
    sale = client.new_sale(2)
    opened = time.time()
    with Events(shop, sale) as events:
        assert events.next()["available"] == 2
        assert opened - 1 < _seconds(events.next("time")["serverTime"]) < time.time() + 1
        client.order(sale, "ann")
        assert events.next()["available"] == 1
        client.order(sale, "bob")
        assert events.next()["state"] == "sold_out"


def test_streams_of_one_address_are_bounded(shop: Storefront, client: Client) -> None:
    sale = client.new_sale(1)
    with Events(shop, sale) as first, Events(shop, sale) as second, Events(shop, sale) as third:
        assert [stream.next()["available"] for stream in (first, second, third)] == [1, 1, 1]
        refused = get(shop, f"/s/{sale}/events")
        assert (refused.status, refused.headers["retry-after"]) == (503, "30")
        assert get(shop, f"/s/{sale}/live").status == 200
    assert wait_until(lambda: _opens(shop, sale), PATIENCE_SECONDS)


def test_closed_fence_is_recovering_and_shows_no_number(shop: Storefront, stack: Stack, client: Client) -> None:
    sale = client.new_sale(3)
    assert live(shop, sale)["available"] == 3
    stack.stop("keeper")
    try:
        with Events(shop, sale) as events:
            assert events.next()["available"] == 3
            fence = shard_keys(shard_of(sale)).fence
            _redis(stack, "HSET", fence, "state", "fenced")
            event = events.next()
            assert (event["state"], "available" in event) == ("recovering", False)
            refused = get(shop, f"/s/{sale}/live")
            assert (refused.status, refused.headers["retry-after"], json.loads(refused.body)["code"]) == (503, "2", "recovering")
            assert get(shop, f"/s/{sale}").status == 503
            _redis(stack, "HSET", fence, "state", "open")
            assert events.next()["available"] == 3
    finally:
        _redis(stack, "HSET", shard_keys(shard_of(sale)).fence, "state", "open")
        stack.start("keeper")


def test_page_reads_without_javascript_and_its_files_are_kept_for_good(shop: Storefront, client: Client) -> None:
    sale = client.new_sale(1500, price={"amountMinor": 123456, "currency": "EUR"}, startsAt="2100-01-01T00:00:00Z")
    page = get(shop, f"/s/{sale}")
    html = page.body.decode()
    for words in ("Not started yet", "It starts at 2100-01-01 00:00:00 UTC.", "1,500 of 1,500 left", "1,234.56 EUR"):
        assert words in html
    assert '<noscript><meta http-equiv="refresh" content="10">' in html
    assert "set-cookie" not in page.headers
    total = len(page.body)
    for name in ("page.css", "page.js"):
        path = html.split(f"/{name}")[0].rsplit('"', 1)[1] + f"/{name}"
        answer = get(shop, path)
        assert (answer.status, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
        assert get(shop, path, {"if-none-match": answer.headers["etag"]}).status == 304
        total += len(answer.body)
    assert total + len(get(shop, path.replace("page.js", "decide.js")).body) <= 60_000


def test_shutdown_ends_streams_at_once(stack: Stack, client: Client, tmp_path: Path) -> None:
    sale = client.new_sale(1)
    with storefront_on(stack.env(), tmp_path / "log") as shop, Events(shop, sale) as events:
        events.next()
        asked_at = time.monotonic()
        shop.process.send_signal(signal.SIGTERM)
        with pytest.raises(EOFError):
            events.next()
        assert shop.process.wait(PATIENCE_SECONDS) in (0, -15)
        assert time.monotonic() - asked_at < 8


def test_hostile_connections_end(stack: Stack, tmp_path: Path) -> None:
    with storefront_on(stack.env(), tmp_path / "log", FLASHSALE_HEAD_TIMEOUT_SECONDS="0.3", FLASHSALE_CONNECTIONS_MAX="2") as shop:
        for sent in (b"GET /s/shoe HTT", b"GET / HTTP/1.1\r\nx: " + b"a" * 20_000, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 200):
            with _connected(shop) as connection:
                connection.sendall(sent)
                while connection.recv(65536):
                    pass
        held = [_connected(shop) for _ in range(2)]
        assert get(shop, "/s/shoe").status == 503
        for connection in held:
            connection.close()


def test_repeated_poll_follows_the_sale_and_the_same_bytes_in_a_body_are_no_request(shop: Storefront, client: Client) -> None:
    sale = client.new_sale(5)
    poll = f"GET /s/{sale}/live HTTP/1.1\r\nhost: a\r\n\r\n".encode()
    live(shop, sale)
    with _connected(shop) as connection:
        before = [_ask(connection, poll), _ask(connection, poll)]
        assert [b'"available":5' in answer for answer in before] == [True, True]
        assert client.order(sale, "ann").status == 200
        assert wait_until(lambda: b'"available":4' in _ask(connection, poll), PATIENCE_SECONDS)
        for path, status in ((f"/s/{sale}/live", b"200"), ("/nowhere", b"404")):
            head = f"GET {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {len(poll)}\r\n\r\n".encode()
            assert _ask(connection, head).startswith(b"HTTP/1.1 " + status)
            connection.sendall(poll)
            connection.settimeout(0.3)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            connection.settimeout(PATIENCE_SECONDS)
            assert b'"available":4' in _ask(connection, poll)


def test_cache_cannot_renew_an_old_live_document(shop: Storefront, client: Client) -> None:
    sale = client.new_sale(5)
    first = get(shop, f"/s/{sale}/live")
    assert "etag" not in first.headers
    assert get(shop, f"/s/{sale}/live", {"if-none-match": "*"}).status == 200
    time.sleep(0.05)
    assert json.loads(first.body)["serverTime"] < live(shop, sale)["serverTime"]


def test_poll_in_pieces_is_answered_once(shop: Storefront, client: Client) -> None:
    sale = client.new_sale(5)
    poll = f"GET /s/{sale}/live HTTP/1.1\r\nhost: a\r\n\r\n".encode()
    live(shop, sale)
    with _connected(shop) as connection:
        _ask(connection, poll)
        connection.sendall(poll[:20])
        time.sleep(0.05)
        assert _ask(connection, poll[20:]).count(b"HTTP/1.1 200") == 1
        assert _ask(connection, poll + poll, 2).count(b"HTTP/1.1 200") == 2


def _connected(shop: Storefront) -> socket.socket:
    address = urlsplit(shop.url)
    return socket.create_connection((str(address.hostname), address.port or 0), timeout=PATIENCE_SECONDS)


def _ask(connection: socket.socket, sent: bytes, answers: int = 1) -> bytes:
    """That number of answers, and what comes within a moment after them."""
    connection.sendall(sent)
    received = b""
    while _complete(received) < answers:
        more = connection.recv(65536)
        assert more, received
        received += more
    connection.settimeout(0.1)
    try:
        while more := connection.recv(65536):
            received += more
    except TimeoutError:
        connection.settimeout(PATIENCE_SECONDS)
    return received


def _complete(received: bytes) -> int:
    """How many whole answers these bytes have."""
    count = 0
    while b"\r\n\r\n" in received:
        head, received = received.split(b"\r\n\r\n", 1)
        length = re.search(rb"\ncontent-length: (\d+)", head.lower())
        size = int(length[1]) if length and b" 304 " not in head[:13] else 0
        if len(received) < size:
            break
        received, count = received[size:], count + 1
    return count


def _opens(shop: Storefront, sale: str) -> bool:
    with Events(shop, sale) as events:
        return events.answer.status == 200


def _redis(stack: Stack, *command: str) -> None:
    with Redis.from_url(stack.env()["REDIS_URL"]) as redis:
        redis.execute_command(*command)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_payment_whose_body_does_not_come_is_refused(stack: Stack, tmp_path: Path) -> None:
    demo = {"FLASHSALE_STOREFRONT_DEMO": "true", "FLASHSALE_BODY_TIMEOUT_SECONDS": "0.2"}
    with storefront_on(stack.env(), tmp_path / "log", **demo) as shop, _connected(shop) as slow:
        head = "POST /s/-/demo/payments HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        slow.sendall(head.encode())
        assert b"408" in slow.recv(1024).split(b"\r\n")[0]
