"""Heads of requests: bounded in size and in time."""

import json
import time

import pytest

from flashsale_local_stack import Stack
from tests.integration.client import Client
from tests.integration.wire import Wire, gateway, head, order, whole, wire_to

CLOSED_SECONDS = 5.0
"""Half of the head timeout's default."""


@pytest.fixture(scope="module")
def sale(client: Client) -> str:
    return client.new_sale(1000)


def fat_head(size: int) -> bytes:
    return b"GET /healthz HTTP/1.1\r\nHost: shop\r\n" + b"X-Fat: " + b"x" * size


HEADS_TOO_LARGE: dict[str, tuple[bytes, ...]] = {
    "whole": (fat_head(33_000) + b"\r\n\r\n",),
    "an order's": (head(2, b"X-Fat: " + b"x" * 33_000) + b"{}",),
    "one header without an end": (fat_head(33_000),),
    "in pieces": tuple(fat_head(33_000)[start : start + 7_000] for start in range(0, 33_000, 7_000)),
    "in pieces, with its end": (fat_head(20_000), b"x" * 20_000 + b"\r\n\r\n"),
    "many headers": (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 8_000,),
    "a path": (b"GET /" + b"x" * 33_000,),
}


@pytest.mark.parametrize("name", HEADS_TOO_LARGE)
def test_head_past_its_limit_is_431_and_ends_the_connection(wire: Wire, name: str) -> None:
    wire.send(*HEADS_TOO_LARGE[name])
    answer = wire.answer()
    assert (answer.status, answer.headers["content-type"], answer.headers["connection"]) == (431, "application/problem+json", "close")
    assert json.loads(answer.body)["code"] == "head_too_large"
    assert wire.closed()


def test_head_within_its_limit_is_read_whole_and_in_pieces(wire: Wire, sale: str) -> None:
    fat = b"X-Fat: " + b"x" * 30_000
    body = order(sale)
    wire.send(whole(body, fat))
    first = wire.answer()
    message = whole(body, fat)
    wire.send(*[message[start : start + 9_000] for start in range(0, len(message), 9_000)])
    again = wire.answer()
    assert (first.status, again.status, again.body) == (200, 200, first.body)
    # Many orders at once are no long head, and neither is the beginning of one behind them.
    orders = [whole(order(sale), b"X-Some: " + b"x" * 2_000) for _ in range(40)]
    wire.send(b"".join(orders)[:-500], b"".join(orders)[-500:])
    assert [wire.answer().status for _ in orders] == [200] * 40


def test_silent_and_slow_heads_end_and_busy_connections_do_not(stack: Stack, sale: str) -> None:
    with (
        gateway(stack, FLASHSALE_HEAD_TIMEOUT_SECONDS="1") as (_, client),
        wire_to(client) as silent,
        wire_to(client) as blank,
        wire_to(client) as slow,
        wire_to(client) as busy,
    ):
        slow.send(whole(order(sale)))
        assert slow.answer().status == 200
        slow.send(b"POST /order HTTP/1.1\r\nX-Slow: ")
        started = time.monotonic()
        while (seconds := time.monotonic() - started) < 1.5:
            if seconds < 0.8:
                blank.send(b"\r\n")
                slow.send(b"x")
            busy.send(whole(order(sale)))
            assert busy.answer().status == 200
            time.sleep(0.1)
        for wire in (silent, blank, slow):
            wire.connection.settimeout(CLOSED_SECONDS)
        answer = slow.answer()
        assert (answer.status, json.loads(answer.body)["code"], answer.headers["connection"]) == (408, "request_timeout", "close")
        assert [wire.closed() for wire in (slow, silent, blank)] == [True] * 3
