"""Orders and payments on the wire, byte by byte: whole or in pieces, alone or behind others, each gets the same answer."""

import json
import os
import signal
import socket
import time
import uuid
from collections.abc import Iterator
from select import select
from typing import Any

import pytest

from flashsale_local_stack import Stack
from tests.integration.client import Client
from tests.integration.wire import Answer, Wire, chunked, gateway, head, order, wait_for, whole, wire_to


@pytest.fixture
def wire(client: Client) -> Iterator[Wire]:
    with wire_to(client) as wire:
        yield wire


@pytest.fixture(scope="module")
def sale(client: Client) -> str:
    return client.new_sale(1000)


BODIES: dict[str, dict[str, Any]] = {
    "accepted": {},
    "unknown sale": {"productId": "no-such-sale"},
    "wrong quantity": {"quantity": 0},
    "too many": {"quantity": 101},
    "unknown field": {"colour": "red"},
    "no request id": {"requestId": None},
}


@pytest.mark.parametrize("name", BODIES)
def test_answer_is_the_same_whole_in_pieces_chunked_and_expected(wire: Wire, sale: str, name: str) -> None:
    body = order(sale, **BODIES[name])
    wire.send(whole(body))
    first = wire.answer()
    deliveries = {
        "head, then body": (head(len(body)), body),
        "in the middle of the body": (whole(body)[:-20], body[-20:]),
        "in the middle of the head": (whole(body)[:30], whole(body)[30:]),
        "chunked": (head(None, b"Transfer-Encoding: chunked") + chunked(body),),
    }
    for how, pieces in deliveries.items():
        wire.send(*pieces)
        again = wire.answer()
        assert (again.status, again.body) == (first.status, first.body), how
        # A repeated order is a replay; all else is the same header for header, but for the clock.
        differing = {"date", "idempotent-replayed"}
        assert again.headers.keys() - differing == first.headers.keys() - differing, how
        assert again.headers["content-type"] == first.headers["content-type"], how
        assert ("idempotent-replayed" in again.headers) == (name == "accepted"), how


PAYMENTS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "paid": ({}, {}),
    "for an order that nobody knows": ({"orderId": "no-such-sale.ABCDEFGHIJ0123456789"}, {}),
    "for no order at all": ({"orderId": "whatever/?"}, {}),
    "without an amount": ({"amountMinor": None}, {}),
    "badly signed": ({}, {"webhook-signature": "v1,AAAA"}),
    "not signed": ({}, {"webhook-id": ""}),
    "stale": ({}, {"webhook-timestamp": "1700000000"}),
}


@pytest.mark.parametrize("name", PAYMENTS)
def test_answer_to_a_payment_is_the_same_whole_in_pieces_and_chunked(client: Client, wire: Wire, sale: str, name: str) -> None:
    changes, headers = PAYMENTS[name]
    data = {"paymentId": uuid.uuid4().hex, "amountMinor": 999, "currency": "EUR", "orderId": paid_order(client, sale), **changes}
    body = json.dumps({"type": "payment.succeeded", "timestamp": "2026-01-01T00:00:00Z", "data": data}).encode()
    lines = [f"{name}: {value}".encode() for name, value in (client.signed(body) | headers).items()]
    path = b"/payments/webhook"
    wire.send(head(len(body), *lines, path=path) + body)
    first = wire.answer()
    deliveries = {
        "head, then body": (head(len(body), *lines, path=path), body),
        "chunked": (head(None, *lines, b"Transfer-Encoding: chunked", path=path) + chunked(body),),
    }
    for how, pieces in deliveries.items():
        wire.send(*pieces)
        again = wire.answer()
        known = first.status == 200
        assert again.status == first.status, how
        assert ("idempotent-replayed" in again.headers) == known, how
        assert again.headers.keys() - {"idempotent-replayed"} == first.headers.keys() - {"idempotent-replayed"}, how
        if not known:
            assert again.body == first.body, how
    assert (first.status, name) in {(200, "paid"), (200, "for an order that nobody knows"), (200, "for no order at all"),
                                    (400, "without an amount"), (400, "stale"), (401, "badly signed"), (401, "not signed")}  # fmt: skip


def paid_order(client: Client, sale: str) -> str:
    answer = client.order(sale, "ann", request=uuid.uuid4().hex)
    assert answer.status == 200
    return str(answer.body["orderId"])


def test_an_order_and_its_payment_in_one_pipeline_keep_their_places(client: Client, wire: Wire, sale: str) -> None:
    order_id = paid_order(client, sale)
    data = {"paymentId": uuid.uuid4().hex, "amountMinor": 999, "currency": "EUR", "orderId": order_id}
    body = json.dumps({"type": "payment.succeeded", "timestamp": "2026-01-01T00:00:00Z", "data": data}).encode()
    lines = [f"{name}: {value}".encode() for name, value in client.signed(body).items()]
    payment = head(len(body), *lines, path=b"/payments/webhook") + body
    wire.send(payment + whole(order(sale)) + payment + b"GET /payments/webhook HTTP/1.1\r\nHost: shop\r\n\r\n" + whole(order(sale)))
    answers = [wire.answer() for _ in range(5)]
    assert [answer.status for answer in answers] == [200, 200, 200, 405, 200]
    assert [json.loads(answers[place].body)["result"] for place in (0, 2)] == ["paid", "replayed"]
    assert answers[3].headers["allow"] == "POST"
    shown = client.get(f"/orders/{order_id}")
    assert shown.body["state"] == "paid"


def test_expect_100_continue(wire: Wire, sale: str) -> None:
    body = order(sale)
    wire.send(head(len(body), b"Expect: 100-continue"))
    assert wire.answer().status == 100
    wire.send(body)
    assert wire.answer().status == 200


def test_pipelined_orders_are_answered_in_their_order(wire: Wire, sale: str) -> None:
    bodies = [order(sale) for _ in range(20)]
    other = b"GET /sales/" + sale.encode() + b" HTTP/1.1\r\nHost: shop\r\n\r\n"
    wire.send(b"".join(whole(body) for body in bodies[:10]) + other + b"".join(whole(body) for body in bodies[10:]))
    answers = [wire.answer() for _ in range(21)]
    assert [answer.status for answer in answers] == [200] * 21
    assert json.loads(answers[10].body)["productId"] == sale
    for body, answer in zip(bodies, answers[:10] + answers[11:], strict=True):
        wire.send(whole(body))
        again = wire.answer()
        assert (again.headers["idempotent-replayed"], again.body) == ("true", answer.body)


def test_refused_orders_in_a_pipeline_keep_their_place(wire: Wire, sale: str) -> None:
    bodies = [order(sale, quantity=0), order(sale), b"{", order(sale), order(sale, productId="no-such-sale")]
    wire.send(b"".join(map(whole, bodies)))
    assert [wire.answer().status for _ in bodies] == [400, 200, 400, 200, 404]


def test_connection_close_and_http_1_0_are_answered_and_closed(client: Client, sale: str) -> None:
    for request in (whole(order(sale), b"Connection: close"), whole(order(sale), version=b"1.0")):
        with wire_to(client) as wire:
            wire.send(request)
            answer = wire.answer()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert wire.closed()


def test_other_methods_and_media_types(wire: Wire, sale: str) -> None:
    wire.send(b"GET /order HTTP/1.1\r\nHost: shop\r\n\r\n")
    assert wire.answer().status == 405
    wire.send(whole(order(sale), media_type=b"text/plain"))
    assert wire.answer().status == 415
    wire.send(whole(order(sale), media_type=b"Application/JSON; charset=utf-8"))
    assert wire.answer().status == 200
    wire.send(whole(b" " * 20_000))
    assert wire.answer().status == 413
    wire.send(whole(order(sale)).replace(b"/order", b"/order?from=mail"))
    assert wire.answer().status == 200


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
def test_head_past_its_limit_is_431_and_the_last(wire: Wire, name: str) -> None:
    wire.send(*HEADS_TOO_LARGE[name])
    answer = wire.answer()
    assert (answer.status, answer.headers["content-type"], answer.headers["connection"]) == (431, "application/problem+json", "close")
    assert json.loads(answer.body)["code"] == "head_too_large"
    assert wire.closed()


def test_head_within_its_limit_is_read_however_it_comes(wire: Wire, sale: str) -> None:
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


def test_trailers_do_not_become_headers_and_are_not_kept(wire: Wire, sale: str) -> None:
    body = order(sale, requestId=None)
    trailers = b"%x\r\n%b\r\n0\r\nIdempotency-Key: k\r\n%b\r\n" % (len(body), body, b"A: b\r\n" * 20_000)
    wire.send(head(None, b"Transfer-Encoding: chunked"), trailers)
    refused = wire.answer()
    wire.send(whole(order(sale)))
    assert (refused.status, json.loads(refused.body)["field"], wire.answer().status) == (400, "requestId", 200)


def test_silent_and_slow_heads_are_closed_and_busy_connections_are_not(stack: Stack, sale: str) -> None:
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
        for tick in range(15):
            busy.send(whole(order(sale)))
            assert busy.answer().status == 200
            if tick < 8:
                blank.send(b"\r\n")
                slow.send(b"x")
            time.sleep(0.1)
        for wire in (silent, blank, slow):
            wire.connection.settimeout(1)
        answer = slow.answer()
        assert (answer.status, json.loads(answer.body)["code"], answer.headers["connection"]) == (408, "request_timeout", "close")
        assert [wire.closed() for wire in (slow, silent, blank)] == [True] * 3


def test_an_upgrade_is_ignored_and_the_order_answered(wire: Wire, sale: str) -> None:
    """As Java's HttpClient offers HTTP/2 with its first request."""
    offer = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk")
    body = order(sale)
    wire.send(whole(body, *offer))
    first = wire.answer()
    wire.send(whole(body, *offer), whole(body))
    wire.send(head(len(body), *offer), body)
    wire.send(head(None, *offer, b"Transfer-Encoding: chunked") + chunked(body))
    wire.send(b"GET /sales/" + sale.encode() + b" HTTP/1.1\r\nHost: shop\r\n" + b"\r\n".join(offer) + b"\r\n\r\n")
    wire.send(whole(body, *offer) * 3)
    again = [wire.answer() for _ in range(8)]
    assert first.status == 200
    assert [answer.status for answer in again] == [200] * 8
    assert [answer.body == first.body for answer in again] == [True] * 4 + [False] + [True] * 3


def test_garbage_is_refused_and_hurts_nobody_else(client: Client, sale: str) -> None:
    with wire_to(client) as good, wire_to(client) as bad:
        bad.send(b"\x16\x03\x01 hello\r\n\r\n")
        assert bad.answer().status == 400
        assert bad.closed()
        good.send(whole(order(sale)))
        assert good.answer().status == 200


def test_who_leaves_before_the_answer_disturbs_nobody(client: Client, sale: str) -> None:
    request = uuid.uuid4().hex
    for _ in range(20):
        with wire_to(client) as gone:
            gone.send(whole(order(sale, requestId=request)))
            gone.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with wire_to(client) as wire:
        wire.send(whole(order(sale, requestId=request)))
        assert wire.answer().status == 200


def test_an_idle_connection_is_closed_and_a_busy_one_is_not(stack: Stack, sale: str) -> None:
    """The keep-alive counts from the last answer, and is a setting."""
    with gateway(stack, FLASHSALE_KEEP_ALIVE_SECONDS="1.5") as (_, client), wire_to(client) as busy, wire_to(client) as idle:
        repeated = whole(order(sale))
        idle.send(repeated)
        assert idle.answer().status == 200
        give_up_at = time.monotonic() + 30
        while not select([idle.connection], [], [], 0)[0]:
            busy.send(repeated)
            assert busy.answer().status == 200
            assert time.monotonic() < give_up_at
        assert idle.closed()
        busy.send(repeated)
        assert busy.answer().status == 200


def test_an_order_under_way_is_answered_before_the_gateway_stops(stack: Stack, client: Client, sale: str) -> None:
    """Redis is paused, the gateway is told to end, Redis goes on: the answer arrives, says that it is the last, and the gateway is gone."""
    redis = [status.pid for status in stack.status() if status.name.startswith("redis") and status.pid]
    assert redis
    with gateway(stack) as (process, second), wire_to(second) as wire:
        wire.send(whole(order(sale)))
        assert wire.answer().status == 200
        for pid in redis:
            os.kill(pid, signal.SIGSTOP)
        try:
            wire.send(whole(order(sale)))
            time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
        finally:
            for pid in redis:
                os.kill(pid, signal.SIGCONT)
        answer = wire.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert wire.closed()
        # uvicorn has closed everything and then dies of the signal it was sent.
        assert process.wait(30) == -signal.SIGTERM


def test_a_connection_too_many_is_told_so_and_the_next_has_the_place_of_one_that_left(stack: Stack, sale: str) -> None:
    with gateway(stack, FLASHSALE_CONNECTIONS_MAX="2") as (_, small):

        def asked() -> Answer:
            with wire_to(small) as wire:
                wire.send(whole(order(sale)))
                return wire.answer()

        with wire_to(small) as first:
            with wire_to(small) as second:
                for wire in (first, second):
                    wire.send(whole(order(sale)))
                    assert wire.answer().status == 200
                refusal = asked()
                assert (refusal.status, json.loads(refusal.body)["code"], refusal.headers["connection"]) == (503, "overloaded", "close")
                first.send(whole(order(sale)))
                assert first.answer().status == 200
            wait_for(lambda: asked().status == 200)
