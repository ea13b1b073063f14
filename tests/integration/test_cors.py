"""A page of another origin reads every answer of the API, refusals included, the same on the fast path and through ASGI."""

import json
from collections.abc import Iterator

import pytest

from flashsale_local_stack import Stack
from tests.integration.client import JSON, Client
from tests.integration.gateways import gateway_on
from tests.integration.wire import Answer, chunked, head, order, whole, wire_to

SHOP, OTHER = "https://shop.example", "https://other.example"
ORIGIN = b"Origin: https://shop.example"
ALLOWED = {
    "access-control-allow-origin": SHOP,
    "access-control-expose-headers": "retry-after, idempotent-replayed, etag, date, www-authenticate",
    "vary": "Origin",
}


@pytest.fixture(scope="module")
def shop(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    env = stack.env() | {"FLASHSALE_CORS_ORIGINS": f"{SHOP},http://127.0.0.1:8080", "FLASHSALE_CONNECTIONS_MAX": "4"}
    with gateway_on(env, tmp_path_factory.mktemp("cors") / "gateway.log") as gateway:
        yield Client(env | {"FLASHSALE_URL": gateway.url})


@pytest.fixture(scope="module")
def sale(shop: Client) -> str:
    return shop.new_sale(3, rateLimit={"requests": 1, "seconds": 3600})


def cors(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control") or name == "vary"}


def both_ways(shop: Client, body: bytes, *more: bytes) -> list[Answer]:
    """The answers to an order on the fast path and through ASGI, which takes a body in chunks."""
    with wire_to(shop) as wire:
        wire.send(whole(body, *more), head(None, *more, b"Transfer-Encoding: chunked") + chunked(body))
        return [wire.answer(), wire.answer()]


def test_orders_and_their_refusals_are_readable_both_ways(shop: Client, sale: str) -> None:
    accepted = order(sale, requestId="r1")
    bodies = {
        (200, None): accepted,
        (422, "request_conflict"): json.dumps(json.loads(accepted) | {"quantity": 2}).encode(),
        (429, "rate_limited"): order(sale),
        (400, "bad_request"): b"{",
        (404, "unknown_sale"): order("nothing"),
    }
    for expected, body in bodies.items():
        for answer in both_ways(shop, body, ORIGIN):
            assert (answer.status, json.loads(answer.body).get("code")) == expected
            assert cors(answer) == ALLOWED, expected


def test_other_origins_and_no_origin_get_the_answer_without_the_permission(shop: Client, sale: str) -> None:
    for more in ((), (b"Origin: https://other.example",), (b"Origin: null",)):
        assert [cors(answer) for answer in both_ways(shop, order(sale), *more)] == [{"vary": "Origin"}] * 2


def test_reads_and_their_refusals_are_readable_and_apart_in_caches(shop: Client, sale: str) -> None:
    for path, status in {"/sales": 200, f"/sales/{sale}": 200, "/sales/nothing": 404, "/orders/nothing": 404, "/openapi.json": 200}.items():
        answer, plain = shop.send("GET", path, headers={"origin": SHOP}), shop.get(path)
        assert (answer.status, {name: answer.headers.get(name) for name in ALLOWED}) == (status, ALLOWED), path
        assert (plain.headers["vary"], "access-control-allow-origin" in plain.headers) == ("Origin", False), path


def test_administration_webhooks_and_probes_are_never_readable(shop: Client, sale: str) -> None:
    admin = {"authorization": f"Bearer {shop.env['FLASHSALE_ADMIN_TOKEN']}", "origin": SHOP}
    answers = [
        shop.json("POST", "/admin/stock", {"productId": sale, "stock": 3}, admin),
        shop.send("POST", "/payments/webhook", b"{}", {**JSON, "origin": SHOP}),
        shop.send("GET", "/healthz", headers={"origin": SHOP}),
        shop.send("GET", "/metrics", headers={"origin": SHOP}),
    ]
    assert [answer.status for answer in answers] == [200, 401, 200, 200]
    assert [name for answer in answers for name in answer.headers if name.startswith("access-control") or name == "vary"] == []
    asked = {"origin": SHOP, "access-control-request-method": "POST"}
    preflights = [shop.send("OPTIONS", path, headers=asked) for path in ("/admin/stock", "/payments/webhook", "/order")]
    assert [answer.status for answer in preflights] == [405, 405, 204]
    assert ["access-control-allow-origin" in answer.headers for answer in preflights] == [False, False, True]


def test_refused_connection_is_readable_too(shop: Client, sale: str) -> None:
    with wire_to(shop) as first, wire_to(shop) as second, wire_to(shop) as third, wire_to(shop) as fourth:
        for wire in (first, second, third, fourth):
            wire.send(b"GET /healthz HTTP/1.1\r\nHost: gate\r\n\r\n")
            assert wire.answer().status == 200
        with wire_to(shop) as past:
            past.send(whole(order(sale), ORIGIN))
            answer = past.answer()
    assert (answer.status, answer.headers["retry-after"], cors(answer)) == (503, "1", ALLOWED)
