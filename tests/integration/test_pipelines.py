"""Several requests on one connection: each is answered in its place, and the last one ends the connection."""

import json
import uuid

import pytest

from tests.integration.client import Client
from tests.integration.wire import Wire, head, order, order_to_pay, whole, wire_to


@pytest.fixture(scope="module")
def sale(client: Client) -> str:
    return client.new_sale(1000)


def test_order_and_payment_in_one_pipeline_keep_their_places(client: Client, wire: Wire, sale: str) -> None:
    order_id = order_to_pay(client, sale)
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
