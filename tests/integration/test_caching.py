"""Caches may keep public sale documents for a second, and never an answer that is private, changes something or refuses."""

import uuid

import pytest

from tests.integration.client import Client

NO_STORE, SHARED, STATIC = "no-store", "public, max-age=1", "public, max-age=60"
READS = {
    "/orders/{order}": (200, NO_STORE),
    "/orders/nothing": (404, NO_STORE),
    "/sales": (200, SHARED),
    "/sales?limit=0": (400, NO_STORE),
    "/sales/{sale}": (200, SHARED),
    "/sales/nothing": (404, NO_STORE),
    "/healthz": (200, NO_STORE),
    "/readyz": (200, NO_STORE),
    "/metrics": (200, NO_STORE),
    "/openapi.json": (200, STATIC),
    "/docs": (200, STATIC),
    "/admin/openapi.json": (200, STATIC),
    "/admin/docs": (200, STATIC),
    "/nothing": (404, NO_STORE),
    "/sales/": (404, NO_STORE),
    "/order": (405, NO_STORE),
}


@pytest.fixture(scope="module")
def sale(client: Client) -> str:
    return client.new_sale(10, maxPerUser=1)


@pytest.fixture(scope="module")
def order(client: Client, sale: str) -> str:
    return str(client.order(sale, "ann").body["orderId"])


@pytest.mark.parametrize("path", READS)
def test_answers_to_reads_have_their_cache_control(client: Client, sale: str, order: str, path: str) -> None:
    status, cached = READS[path]
    for method in ("GET", "HEAD"):
        answer = client.send(method, path.format(sale=sale, order=order))
        assert (answer.status, answer.headers.get("cache-control")) == (405 if method == "HEAD" and path == "/order" else status, cached)


def test_answers_to_writes_are_never_cached(client: Client, sale: str) -> None:
    payment, changed = uuid.uuid4().hex, {"productId": sale, "stock": 10, "maxPerUser": 1}
    accepted, refused, unread = client.order(sale, "bob"), client.order(sale, "bob", request="r2"), client.order(sale, "bob", 0)
    order = accepted.body["orderId"]
    answers = {
        "accepted": accepted,
        "replayed": client.order(sale, "bob"),
        "refused": refused,
        "unread": unread,
        "unknown": client.order("nothing", "bob"),
        "paid": client.pay(order, payment),
        "paid again": client.pay(order, payment),
        "unsigned": client.send("POST", "/payments/webhook", b"{}", {"content-type": "application/json"}),
        "not cancelled": client.send("DELETE", f"/orders/{order}"),
        "cancelled": client.send("DELETE", f"/orders/{client.order(sale, 'cid').body['orderId']}"),
        "defined": client.admin(changed),
        "unauthorized": client.admin(changed, token="wrong"),
    }
    assert {name: answer.headers.get("cache-control") for name, answer in answers.items()} == dict.fromkeys(answers, NO_STORE)
    assert [answer.status for answer in answers.values()] == [200, 200, 409, 400, 404, 200, 200, 401, 409, 200, 200, 401]
