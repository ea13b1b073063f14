"""A header that decides something may come once: whichever of two counted, a proxy in front might have checked the other."""

import json
from collections.abc import Iterator

import pytest

from flashsale_local_stack import Stack
from tests.integration.client import Client
from tests.integration.wire import Wire, chunked, head, order, whole, wire_to

DOUBLED = {
    "Authorization": (b"Authorization: Bearer a", b"authorization: Bearer b"),
    "Authorization, the same": (b"Authorization: Bearer a", b"AUTHORIZATION: Bearer a"),
    "Content-Type": (b"content-type: text/plain",),
    "Idempotency-Key": (b"Idempotency-Key: k1", b"idempotency-KEY: k2"),
    "Host": (b"host: other",),
    "Origin": (b"Origin: https://a.example", b"Origin: https://b.example"),
    "Webhook-Signature": (b"webhook-signature: v1,a", b"Webhook-Signature: v1,b"),
}


@pytest.fixture(scope="module")
def sale(client: Client) -> str:
    return client.new_sale(10)


@pytest.fixture
def ledger_wire(stack: Stack) -> Iterator[Wire]:
    with wire_to(Client(stack.env() | {"FLASHSALE_URL": stack.env()["FLASHSALE_LEDGER_API_URL"]})) as wire:
        yield wire


@pytest.mark.parametrize("name", DOUBLED)
@pytest.mark.parametrize("path", [b"/order", b"/payments/webhook", b"/session", b"/admin/stock"])
def test_doubled_header_is_refused_on_the_fast_path_and_elsewhere(client: Client, sale: str, name: str, path: bytes) -> None:
    body = order(sale)
    for request in (
        whole(body, *DOUBLED[name], path=path),
        head(None, *DOUBLED[name], b"Transfer-Encoding: chunked", path=path) + chunked(body),
    ):
        with wire_to(client) as wire:
            wire.send(request)
            answer = wire.answer()
            problem = json.loads(answer.body)
            assert (answer.status, problem["code"], problem["field"]) == (400, "bad_request", name.partition(",")[0])
            assert (answer.headers["connection"], wire.closed()) == ("close", True)
    assert client.stock(sale) == (10, 10, 0, 0)


@pytest.mark.parametrize("more", [(b"Content-Length: 3",), (b"Transfer-Encoding: chunked",)], ids=["two lengths", "a length and chunks"])
def test_body_with_two_lengths_is_refused(client: Client, sale: str, more: tuple[bytes, ...]) -> None:
    with wire_to(client) as wire:
        wire.send(whole(order(sale), *more))
        answer = wire.answer()
        assert (answer.status, json.loads(answer.body)["code"], wire.closed()) == (400, "bad_request", True)
    assert client.stock(sale) == (10, 10, 0, 0)


def test_answers_before_it_are_sent_and_other_headers_may_repeat(client: Client, wire: Wire) -> None:
    sale = client.new_sale(10)
    harmless = whole(order(sale), b"Accept: a/b", b"Accept: c/d", b"X-Any: 1", b"x-any: 2")
    wire.send(harmless + whole(order(sale), *DOUBLED["Authorization"]) + harmless)
    assert [wire.answer().status for _ in range(2)] == [200, 400]
    assert (wire.closed(), client.stock(sale)[2]) == (True, 1)


def test_ledger_api_refuses_two_authorizations(stack: Stack, ledger_wire: Wire) -> None:
    token = stack.env()["FLASHSALE_ADMIN_TOKEN"].encode()
    ask = b"GET /admin/refunds HTTP/1.1\r\nHost: ledger\r\nAuthorization: Bearer %b\r\n%b\r\n"
    ledger_wire.send(ask % (token, b"") + ask % (token, b"authorization: Bearer other\r\n"))
    answers = [ledger_wire.answer() for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 400]
    assert json.loads(answers[1].body)["field"] == "Authorization"
