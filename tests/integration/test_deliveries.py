"""Orders and payments byte by byte: however a request is delivered, its answer is the same."""

import json
import uuid
from typing import Any

import pytest

from tests.integration.client import Client
from tests.integration.wire import Wire, chunked, head, order, order_to_pay, whole


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
def test_order_gets_the_same_answer_whole_in_pieces_and_chunked(wire: Wire, sale: str, name: str) -> None:
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
    "for an unknown order": ({"orderId": "no-such-sale.ABCDEFGHIJ0123456789"}, {}),
    "for what is no order id": ({"orderId": "whatever/?"}, {}),
    "without an amount": ({"amountMinor": None}, {}),
    "badly signed": ({}, {"webhook-signature": "v1,AAAA"}),
    "not signed": ({}, {"webhook-id": ""}),
    "stale": ({}, {"webhook-timestamp": "1700000000"}),
}


@pytest.mark.parametrize("name", PAYMENTS)
def test_payment_gets_the_same_answer_whole_in_pieces_and_chunked(client: Client, wire: Wire, sale: str, name: str) -> None:
    changes, headers = PAYMENTS[name]
    data = {"paymentId": uuid.uuid4().hex, "amountMinor": 999, "currency": "EUR", "orderId": order_to_pay(client, sale), **changes}
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
    assert (first.status, name) in {(200, "paid"), (200, "for an unknown order"), (200, "for what is no order id"),
                                    (400, "without an amount"), (400, "stale"), (401, "badly signed"), (401, "not signed")}  # fmt: skip


def test_expect_100_continue_is_answered_before_the_body(wire: Wire, sale: str) -> None:
    body = order(sale)
    wire.send(head(len(body), b"Expect: 100-continue"))
    assert wire.answer().status == 100
    wire.send(body)
    assert wire.answer().status == 200


def test_other_methods_and_media_types_are_refused(wire: Wire, sale: str) -> None:
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


def test_trailers_do_not_become_headers_and_are_not_kept(wire: Wire, sale: str) -> None:
    body = order(sale, requestId=None)
    trailers = b"%x\r\n%b\r\n0\r\nIdempotency-Key: k\r\n%b\r\n" % (len(body), body, b"A: b\r\n" * 20_000)
    wire.send(head(None, b"Transfer-Encoding: chunked"), trailers)
    refused = wire.answer()
    wire.send(whole(order(sale)))
    assert (refused.status, json.loads(refused.body)["field"], wire.answer().status) == (400, "requestId", 200)


def test_upgrade_is_ignored_and_the_order_answered(wire: Wire, sale: str) -> None:
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
