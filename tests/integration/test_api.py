"""The HTTP API on the real stack: every answer is documented, and a bad request names its field and changes no stock."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import jsonschema
import pytest
from typer.testing import CliRunner

from flashsale_cli.console import EXIT_UNREACHABLE
from flashsale_cli.main import app
from flashsale_core.keys import sale_keys
from flashsale_local_stack import Stack, wait_until
from flashsale_redis import open_redis
from tests.integration.client import JSON, Answer, Client

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def document(client: Client) -> Any:
    """The documents of buyers and of administration in one."""
    shops, administration = client.get("/openapi.json").body, client.get("/admin/openapi.json").body
    schemas = shops["components"]["schemas"] | administration["components"]["schemas"]
    return {"paths": shops["paths"] | administration["paths"], "components": {"schemas": schemas}}


@pytest.fixture
def sale(client: Client) -> str:
    return client.new_sale(10, maxPerUser=4)


@pytest.fixture
def untouched(client: Client) -> Iterator[str]:
    """A sale that the test must leave unchanged."""
    sale = client.new_sale(10)
    before = client.get(f"/sales/{sale}").body
    yield sale
    assert client.get(f"/sales/{sale}").body == before


def proof_of_administration(client: Client, path: str) -> dict[str, str]:
    """A buyer's request without a proof is trusted on this stack, and one with a wrong proof is not."""
    return {"authorization": f"Bearer {client.env['FLASHSALE_ADMIN_TOKEN']}"} if path.startswith("/admin") else {}


def conforms(document: Any, method: str, path: str, answer: Answer) -> None:
    """Check that the document contains the answer's status, media type and schema."""
    responses = document["paths"][path][method.lower()]["responses"]
    assert str(answer.status) in responses, (answer.status, answer.raw)
    content = responses[str(answer.status)]["content"]
    media_type = answer.headers["content-type"].split(";")[0]
    assert media_type in content
    schema = content[media_type].get("schema")
    if schema:
        jsonschema.validate(answer.body, {**schema, "components": document["components"]})


def test_order_is_reserved_replayed_shown_and_cancelled(client: Client, document: Any, sale: str) -> None:
    first = client.order(sale, "ann", 2)
    conforms(document, "POST", "/order", first)
    again = client.order(sale, "ann", 2)
    assert (first.status, again.status, again.raw) == (200, 200, first.raw)
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    order_id = first.body["orderId"]
    shown = client.get(f"/orders/{order_id}")
    conforms(document, "GET", "/orders/{orderId}", shown)
    assert (shown.body["state"], client.stock(sale)) == ("reserved", (10, 8, 2, 0))
    cancelled = client.send("DELETE", f"/orders/{order_id}")
    conforms(document, "DELETE", "/orders/{orderId}", cancelled)
    repeated = client.send("DELETE", f"/orders/{order_id}")
    assert (cancelled.body["state"], repeated.body, repeated.headers["idempotent-replayed"]) == ("cancelled", cancelled.body, "true")
    assert client.stock(sale) == (10, 10, 0, 0)
    gone = client.order(sale, "ann", 2)
    conforms(document, "POST", "/order", gone)
    assert (gone.status, gone.code) == (410, "order_gone")


def test_idempotency_key_header_replaces_the_request_id(client: Client, sale: str) -> None:
    order = {"userId": "ann", "productId": sale, "quantity": 1}
    by_body = client.json("POST", "/order", order | {"requestId": "k1"})
    by_header = client.json("POST", "/order", order, {"idempotency-key": "k1"})
    quoted = client.json("POST", "/order", order, {"idempotency-key": '"k1"'})
    assert by_header.raw == quoted.raw == by_body.raw
    both = client.json("POST", "/order", order | {"requestId": "k2"}, {"idempotency-key": "k1"})
    assert (both.status, both.body["field"]) == (400, "requestId")
    neither = client.json("POST", "/order", order)
    assert (neither.status, neither.body["field"]) == (400, "requestId")
    wrong = client.json("POST", "/order", order, {"idempotency-key": "a b"})
    assert (wrong.status, wrong.body["field"]) == (400, "Idempotency-Key")


def test_ids_of_identity_and_payment_providers_reach_the_ledger(client: Client, sale: str) -> None:
    users = ["auth0|65a1f3", "eu-central-1:7c9e66", "o'brien+shop@example.com", "cn=Ann,ou={[x]}/" + "y" * 239]
    request, payment = "~/+=" + "k" * 251, f"pi_3N/+=#{uuid.uuid4().hex}"
    orders = [client.json("POST", "/order", {"userId": user, "productId": sale, "quantity": 1, "requestId": request}) for user in users]
    assert [answer.status for answer in orders] == [200] * len(users)
    paid = client.pay(orders[0].body["orderId"], payment, currency="eur")
    assert (paid.body["result"], client.pay(orders[0].body["orderId"], payment).body["result"]) == ("paid", "replayed")

    async def ledger() -> tuple[list[str], list[tuple[str, str]]]:
        connection = await asyncpg.connect(client.env["DATABASE_URL"])
        try:
            bought = await connection.fetch("select user_id from orders where sale_id = $1", sale)
            payments = await connection.fetch("select payment_id, currency from payments where sale_id = $1", sale)
        finally:
            await connection.close()
        return sorted(row[0] for row in bought), [tuple(row) for row in payments]

    assert wait_until(lambda: asyncio.run(ledger()) == (sorted(users), [(payment, "EUR")]), 30)
    audit = [sys.executable, "-m", "flashsale_cli", "audit", sale, "--wait-seconds", "30"]
    assert subprocess.run(audit, env=os.environ | client.env, check=False).returncode == 0


def test_every_refusal_has_its_code(client: Client, document: Any, sale: str) -> None:
    assert client.order(sale, "bob", 4).status == 200
    answers = {
        "user_limit": client.order(sale, "bob", 1, "r2"),
        "request_conflict": client.order(sale, "bob", 3),
        "unknown_sale": client.order("no-such-sale", "bob"),
        "paused": client.order(client.new_sale(1, paused=True), "bob"),
        "not_started": client.order(client.new_sale(1, startsAt="2099-01-01T00:00:00Z"), "bob"),
        "ended": client.order(client.new_sale(1, endsAt="2020-01-01T00:00:00Z"), "bob"),
        "out_of_stock": client.order(client.new_sale(0), "bob"),
    }
    limited = client.new_sale(5, rateLimit={"requests": 1, "seconds": 3600})
    client.order(limited, "bob")
    answers["rate_limited"] = client.order(limited, "bob", 1, "r2")
    churned = client.new_sale(5, maxReleasedPerUser=1)
    client.send("DELETE", f"/orders/{client.order(churned, 'bob').body['orderId']}")
    answers["order_limit"] = client.order(churned, "bob", 1, "r2")
    assert {code: answer.code for code, answer in answers.items()} == {code: code for code in answers}
    assert int(answers["rate_limited"].headers["retry-after"]) > 0
    for answer in answers.values():
        conforms(document, "POST", "/order", answer)


def test_sold_out_sale_sells_exactly_its_stock(client: Client) -> None:
    sale = client.new_sale(5)
    statuses = [client.order(sale, f"u{number}").status for number in range(8)]
    assert (statuses, client.stock(sale)) == ([200] * 5 + [409] * 3, (5, 0, 5, 0))


WRONG = ["x", -1, 0, 1.5, True, None, [], {}, "x" * 300, 10**30]


@pytest.mark.parametrize("field", ["userId", "productId", "quantity", "requestId", "unknown"])
@pytest.mark.parametrize("value", WRONG, ids=str)
def test_wrong_field_of_an_order_is_named_and_changes_nothing(client: Client, untouched: str, field: str, value: Any) -> None:
    if (field, value) in [("userId", "x"), ("productId", "x"), ("requestId", "x"), ("requestId", None)]:
        return
    order = {"userId": "bob", "productId": untouched, "quantity": 1, "requestId": uuid.uuid4().hex, field: value}
    headers = {"idempotency-key": "k"} if order["requestId"] is None else {}
    answer = client.json("POST", "/order", order, headers)
    assert (answer.status, answer.body["field"], answer.headers["content-type"]) == (400, field, PROBLEM)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, ""),
        (b"{", 400, ""),
        (b"[]", 400, ""),
        (b"null", 400, ""),
        (b'{"userId":"a\xffb"}', 400, "userId"),
        (b"[" * 8000, 400, ""),
        (b'{"userId":"' + b"x" * 20_000 + b'"}', 413, ""),
        (b" " * 1_000_000, 413, ""),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/order", "/admin/stock", "/payments/webhook"])
def test_unreadable_body_is_refused(client: Client, path: str, body: bytes, status: int, field: str) -> None:
    headers = {**JSON, **proof_of_administration(client, path)}
    answer = client.webhook(body) if path == "/payments/webhook" else client.send("POST", path, body, headers)
    assert (answer.status, answer.body.get("field", ""), answer.headers["content-type"]) == (status, field, PROBLEM)


# Further fields of a webhook are skipped unread, so the answer does not contain their names.
@pytest.mark.parametrize(("path", "field"), [("/order", "userId"), ("/admin/stock", "userId"), ("/payments/webhook", "")])
def test_too_deeply_nested_field_is_refused(client: Client, path: str, field: str) -> None:
    test_unreadable_body_is_refused(client, path, b'{"userId":' + b"[" * 8000, 400, field)


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
@pytest.mark.parametrize("path", ["/order", "/admin/stock", "/payments/webhook"])
def test_other_media_type_is_415(client: Client, path: str, media_type: str) -> None:
    headers = {"content-type": media_type, **proof_of_administration(client, path)}
    answer = client.send("POST", path, b"{}", headers)
    assert (answer.status, answer.code, answer.body["field"]) == (415, "unsupported_media_type", "Content-Type")


def test_media_type_may_have_parameters(client: Client, sale: str) -> None:
    body = json.dumps({"userId": "ann", "productId": sale, "quantity": 1, "requestId": "p"}).encode()
    assert client.send("POST", "/order", body, {"content-type": "application/json; charset=utf-8"}).status == 200


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/order", "POST"),
        ("PUT", "/sales", "GET, HEAD"),
        ("POST", "/sales/x", "GET, HEAD"),
        ("PATCH", "/orders/x", "DELETE, GET, HEAD"),
        ("GET", "/admin/stock", "POST"),
    ],
)
def test_other_method_is_405_and_allowed_ones_are_named(client: Client, method: str, path: str, allowed: str) -> None:
    answer = client.send(method, path)
    assert (answer.status, answer.code, answer.headers.get("allow")) == (405, "method_not_allowed", allowed)


@pytest.mark.parametrize("path", ["/", "/nope", "/order/", "/sales/x/y", "/sales/%00", "/sales/a%20b", "/orders/nope", "/orders/x.y"])
def test_unknown_path_sale_or_order_is_404(client: Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status, answer.headers["content-type"]) == (404, PROBLEM)


def test_body_past_the_limit_is_refused_while_it_streams(client: Client) -> None:
    address = urlsplit(client.env["FLASHSALE_URL"])
    with socket.create_connection((str(address.hostname), address.port), 10) as connection:
        connection.sendall(b"POST /order HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(5):
            connection.sendall(b"1000\r\n" + b" " * 4096 + b"\r\n")
        assert b" 413 " in connection.recv(4096).split(b"\r\n")[0]


@pytest.mark.parametrize("token", ["", "wrong", "Bearer", "ä"])
def test_wrong_admin_token_is_401_and_changes_nothing(client: Client, untouched: str, token: str) -> None:
    answer = client.json(
        "POST", "/admin/stock", {"productId": untouched, "stock": 99}, {"authorization": f"Bearer {token}".encode().decode("latin-1")}
    )
    assert (answer.status, answer.code, answer.headers["www-authenticate"]) == (401, "unauthorized", "Bearer")


def test_missing_admin_token_is_401(client: Client, untouched: str) -> None:
    assert client.json("POST", "/admin/stock", {"productId": untouched, "stock": 99}).status == 401


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stock", -1), ("stock", "5"), ("stock", None), ("stock", 10**12), ("startsAt", "x"), ("endsAt", 1), ("maxPerUser", 0),
        ("maxReleasedPerUser", 0),
        ("paymentWindowSeconds", 7), ("rateLimit", {}), ("latePayment", "x"), ("paused", 1), ("unknown", 1), ("productId", "a:b"),
    ],
)  # fmt: skip
def test_wrong_field_of_a_sale_is_named_and_changes_nothing(client: Client, untouched: str, field: str, value: Any) -> None:
    answer = client.admin({"productId": untouched, "stock": 5, field: value})
    assert (answer.status, answer.body["field"].split(".")[0]) == (400, field)


@pytest.mark.parametrize("field", ["productId", "stock"])
def test_missing_field_of_a_sale_is_named(client: Client, untouched: str, field: str) -> None:
    document = {name: value for name, value in {"productId": untouched, "stock": 5}.items() if name != field}
    answer = client.admin(document)
    assert (answer.status, answer.body["field"]) == (400, field)


def test_too_long_product_id_is_named_and_creates_no_sale(client: Client) -> None:
    assert client.admin({"productId": "x" * 64, "stock": 0}).status in (200, 201)
    answer = client.admin({"productId": "x" * 65, "stock": 5})
    assert (answer.status, answer.body["field"], client.get(f"/sales/{'x' * 65}").status) == (400, "productId", 404)


@pytest.mark.parametrize(
    ("field", "moment"),
    [
        ("startsAt", "0001-01-01T00:00:00+14:00"), ("endsAt", "9999-12-31T23:59:59-14:00"), ("endsAt", "9999-12-31T23:59:59Z"),
        ("endsAt", "1970-01-01T00:00:00Z"), ("endsAt", "1969-12-31T23:59:59Z"), ("startsAt", "3000-01-01T00:00:00Z"),
    ],
)  # fmt: skip
def test_extreme_time_is_refused_and_creates_no_sale(client: Client, untouched: str, field: str, moment: str) -> None:
    new = f"{untouched}-new"
    for sale in (untouched, new):
        answer = client.admin({"productId": sale, "stock": 5, field: moment})
        assert (answer.status, answer.body["field"]) == (400, field)
    assert (client.get(f"/sales/{new}").status, client.get("/sales?limit=1000").status) == (404, 200)


def test_times_set_one_after_the_other_cannot_contradict(client: Client) -> None:
    sale = client.new_sale(5, startsAt="2030-01-02T00:00:00Z")
    early = client.admin({"productId": sale, "stock": 5, "endsAt": "2030-01-01T00:00:00Z"})
    assert (early.status, early.body["field"], early.body["detail"]) == (400, "endsAt", "Must be after startsAt, 2030-01-02T00:00:00.000Z")
    assert client.admin({"productId": sale, "stock": 5, "endsAt": "2999-12-31T23:59:59Z"}).status == 200
    late = client.admin({"productId": sale, "stock": 5, "startsAt": "2999-12-31T23:59:59Z"})
    assert (late.status, late.body["field"], late.body["detail"]) == (400, "startsAt", "Must be before endsAt, 2999-12-31T23:59:59.000Z")
    shown = client.get(f"/sales/{sale}").body
    assert (shown["startsAt"], shown["endsAt"]) == ("2030-01-02T00:00:00.000Z", "2999-12-31T23:59:59.000Z")


def test_sale_changes_without_touching_holds(client: Client, document: Any, sale: str) -> None:
    client.order(sale, "ann", 3)
    grown = client.admin({"productId": sale, "stock": 20})
    conforms(document, "POST", "/admin/stock", grown)
    assert (grown.status, client.stock(sale)) == (200, (20, 17, 3, 0))
    refused = client.admin({"productId": sale, "stock": 2})
    conforms(document, "POST", "/admin/stock", refused)
    assert (refused.status, refused.code, refused.body["field"], client.stock(sale)) == (409, "below_committed", "stock", (20, 17, 3, 0))
    client.admin({"productId": sale, "stock": 3, "paused": True})
    assert (client.stock(sale), client.order(sale, "new").code) == ((3, 0, 3, 0), "paused")


def test_sale_is_closed_drained_and_removed(client: Client, document: Any, sale: str) -> None:
    kept, given_back = (client.order(sale, user).body["orderId"] for user in ("ann", "bob"))
    assert client.pay(kept, "p1").body["result"] == "paid"
    closed, waiting = client.end_sale(sale, "?mode=close"), client.end_sale(sale)
    assert (closed.status, closed.body) == (200, {"productId": sale, "state": "closed", "reserved": 1})
    assert (waiting.status, waiting.body) == (202, closed.body)
    assert client.order(sale, "cid").code == "closed"
    client.send("DELETE", f"/orders/{given_back}")
    removed, again = client.end_sale(sale), client.end_sale(sale)
    assert (removed.status, removed.body, again.raw) == (200, {"productId": sale, "state": "removed", "reserved": 0}, removed.raw)
    for answer in (closed, waiting, removed):
        conforms(document, "DELETE", "/admin/sales/{productId}", answer)
    gone = {
        ("POST", "/order"): client.order(sale, "ann"),
        ("GET", "/orders/{orderId}"): client.get(f"/orders/{kept}"),
        ("DELETE", "/orders/{orderId}"): client.send("DELETE", f"/orders/{kept}"),
        ("GET", "/sales/{productId}"): client.get(f"/sales/{sale}"),
    }
    for (method, path), answer in gone.items():
        assert (answer.status, answer.code) == (410, "sale_removed")
        conforms(document, method, path, answer)
    assert client.admin({"productId": sale, "stock": 1}).status == 201
    assert client.order(sale, "ann").status == 200


def test_refusals_to_end_a_sale_are_explained(client: Client, document: Any, untouched: str) -> None:
    answers = {
        "unauthorized": client.end_sale(untouched, token="wrong"),
        "bad_request": client.end_sale(untouched, "?mode=drop"),
        "unknown_sale": client.end_sale("no-such-sale"),
    }
    assert {answer.code for answer in answers.values()} == set(answers)
    for answer in answers.values():
        conforms(document, "DELETE", "/admin/sales/{productId}", answer)


async def test_only_sales_of_admin_or_nobody_can_be_ended(client: Client, document: Any, sale: str) -> None:
    await _set_owner(client, sale, "shop/shoe/u1")
    refused = client.end_sale(sale)
    assert (refused.code, "shop/shoe/u1" in refused.body["detail"], client.get(f"/sales/{sale}").body["state"]) == (
        "not_owner",
        True,
        "open",
    )
    conforms(document, "DELETE", "/admin/sales/{productId}", refused)
    await _set_owner(client, sale, "")
    removed, again = client.end_sale(sale), client.end_sale(sale)
    assert (removed.body["state"], again.raw) == ("removed", removed.raw)


async def test_released_sale_is_given_to_its_next_owner(client: Client, document: Any, sale: str) -> None:
    await _set_owner(client, sale, "shop//")
    assert client.get(f"/sales/{sale}").body["owner"] == ""
    released = client.end_sale(sale, "?mode=release")
    assert (released.status, released.body) == (200, {"productId": sale, "state": "released", "reserved": 0})
    conforms(document, "DELETE", "/admin/sales/{productId}", released)
    await _set_owner(client, sale, "shop/shoe/u1")
    assert client.end_sale(sale, "?mode=release").code == "not_owner"


async def _set_owner(client: Client, sale: str, owner: str) -> None:
    async with open_redis(client.env["REDIS_URL"], timeout_seconds=10, connections_max=2) as redis:
        await redis.hset(sale_keys(sale).sale, "owner", owner)


def test_command_line_closes_and_removes_a_sale(client: Client, sale: str) -> None:
    order = client.order(sale, "ann").body["orderId"]

    def ended(action: str) -> tuple[int, Any]:
        done = CliRunner().invoke(app, ["sale", action, sale, "--json"], env=dict(client.env))
        return done.exit_code, json.loads(done.stdout)

    assert ended("close") == (0, {"productId": sale, "state": "closed", "reserved": 1})
    assert ended("remove") == (1, {"productId": sale, "state": "closed", "reserved": 1})
    client.send("DELETE", f"/orders/{order}")
    assert ended("remove") == (0, {"productId": sale, "state": "removed", "reserved": 0})


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        (["--price", "1999EUR"], "price", {"amountMinor": 1999, "currency": "EUR"}),
        (["--pause"], "state", "paused"),
        (["--max-per-user", "3"], "maxPerUser", 3),
        (["--add", "5"], "stock", 15),
    ],
)
def test_command_line_changes_one_field_of_a_sale(client: Client, options: list[str], field: str, value: Any) -> None:
    sale = client.new_sale(10)
    before = client.get(f"/sales/{sale}").body
    done = CliRunner().invoke(app, ["sale", "set", sale, *options, "--json"], env=dict(client.env))
    assert done.exit_code == 0, done.output
    after = json.loads(done.stdout)
    assert {name: after[name] for name in after if after[name] != before[name] and name not in ("available", "generation")} == {
        field: value
    }


def test_command_line_asks_for_the_stock_of_a_new_sale(client: Client) -> None:
    done = CliRunner().invoke(app, ["sale", "set", "no-such-sale", "--price", "1999EUR"], env=dict(client.env))
    assert (done.exit_code, client.get("/sales/no-such-sale").status) == (EXIT_UNREACHABLE, 404)
    assert "there is no sale no-such-sale; a new one needs --stock" in " ".join(done.output.split())


def test_sales_are_listed_in_pages(client: Client, document: Any) -> None:
    names = sorted(client.new_sale(1) for _ in range(3))
    page = client.get(f"/sales?limit=2&after={names[0]}")
    conforms(document, "GET", "/sales", page)
    assert names[0] not in [sale["productId"] for sale in page.body["sales"]]
    assert len(page.body["sales"]) == 2
    for limit in ("0", "1001", "x", "-1", "²"):
        answer = client.send("GET", "/sales?limit=" + ("%C2%B2" if limit == "²" else limit))
        assert (answer.status, answer.body["field"]) == (400, "limit")


def test_payment_sells_replays_and_refunds_the_second(client: Client, document: Any, sale: str) -> None:
    order_id = client.order(sale, "ann").body["orderId"]
    payment, other = uuid.uuid4().hex, uuid.uuid4().hex
    paid = client.pay(order_id, payment)
    conforms(document, "POST", "/payments/webhook", paid)
    answers = [client.pay(order_id, payment), client.pay(order_id, other), client.pay(order_id, other)]
    assert [paid.body, *[answer.body for answer in answers]] == [
        {"result": "paid", "reason": ""},
        {"result": "replayed", "reason": ""},
        {"result": "refund_due", "reason": "duplicate"},
        {"result": "refund_due", "reason": "replayed"},
    ]
    assert client.stock(sale) == (10, 9, 0, 1)
    refused = client.send("DELETE", f"/orders/{order_id}")
    assert (refused.status, refused.code, client.order(sale, "ann").body["state"]) == (409, "already_paid", "paid")


def test_failed_payment_leaves_the_hold(client: Client, sale: str) -> None:
    order_id = client.order(sale, "ann").body["orderId"]
    payment = uuid.uuid4().hex
    assert client.pay(order_id, payment, "failed").body == {"result": "noted", "reason": ""}
    assert (client.stock(sale), client.pay(order_id, payment).body["result"]) == ((10, 9, 1, 0), "paid")


@pytest.mark.parametrize("order_id", ["nothing", "no-such-sale.ABCDEFGHIJ0123456789", "../..", "%s"])
def test_payment_for_an_unknown_order_is_recorded_and_undecided(client: Client, order_id: str) -> None:
    assert client.pay(order_id, uuid.uuid4().hex).body == {"result": "undecided", "reason": "unknown_order"}


def test_payment_that_paid_is_undecided_once_its_sale_is_removed(client: Client) -> None:
    sale = client.new_sale(1)
    order_id, payment = client.order(sale, "ann").body["orderId"], uuid.uuid4().hex
    assert client.pay(order_id, payment).body == {"result": "paid", "reason": ""}
    assert client.end_sale(sale).body["state"] == "removed"
    answers = [client.pay(order_id, payment).body for _ in range(2)]
    assert answers == [{"result": "undecided", "reason": "unknown_order"}, {"result": "undecided", "reason": "replayed"}]


def test_payment_of_a_wrong_amount_is_refunded_and_the_right_one_pays(client: Client) -> None:
    sale = client.new_sale(3, price={"amountMinor": 999, "currency": "eur"})
    assert client.get(f"/sales/{sale}").body["price"] == {"amountMinor": 999, "currency": "EUR"}
    order = client.order(sale, "ann").body["orderId"]
    assert client.pay(order, f"{sale}-1", currency="USD").body == {"result": "refund_due", "reason": "wrong_amount"}
    assert client.pay(order, f"{sale}-1", currency="USD").body == {"result": "refund_due", "reason": "replayed"}
    assert client.stock(sale) == (3, 2, 1, 0)
    assert client.pay(order, f"{sale}-2").body == {"result": "paid", "reason": ""}
    # An order of two units costs twice the price of one.
    pair = client.order(sale, "bob", 2).body["orderId"]
    assert client.pay(pair, f"{sale}-3").body["reason"] == "wrong_amount"
    assert client.admin({"productId": sale, "stock": 3, "price": None}).body["price"] is None
    assert client.pay(pair, f"{sale}-4").body["result"] == "paid"


def test_paid_order_is_returned_once_and_its_units_are_for_sale_again(client: Client) -> None:
    sale = client.new_sale(2, maxPerUser=1)
    first, second = (client.order(sale, user).body["orderId"] for user in ("ann", "bob"))
    refused = client.take_back(first, True)
    assert (refused.status, refused.body["code"], refused.body["detail"]) == (409, "not_paid", "The order is reserved")
    for order in (first, second):
        assert client.pay(order, f"pay-{order}").body["result"] == "paid"
    returned = client.take_back(first, True)
    assert (returned.status, returned.body) == (
        200,
        {
            "orderId": first, "state": "returned", "productId": sale, "quantity": 1, "restocked": True, "paymentId": f"pay-{first}",
        },
    )  # fmt: skip
    again = client.take_back(first, False)
    assert (again.status, again.body, again.headers["idempotent-replayed"]) == (200, returned.body, "true")
    assert client.take_back(second, False).body["restocked"] is False
    assert client.stock(sale) == (2, 1, 0, 1)
    assert client.get(f"/orders/{first}").body["state"] == "returned"
    assert client.send("DELETE", f"/orders/{first}").body["code"] == client.order(sale, "ann").body["code"] == "order_gone"
    assert client.order(sale, "ann", request="r2").status == 200


def test_stock_is_changed_by_a_difference_or_under_a_condition(client: Client) -> None:
    sale = client.new_sale(10)
    etag = client.get(f"/sales/{sale}").headers["etag"]
    token = {"authorization": f"Bearer {client.env['FLASHSALE_ADMIN_TOKEN']}"}
    added = client.json("POST", "/admin/stock", {"productId": sale, "add": 5}, {**token, "idempotency-key": "a"})
    again = client.json("POST", "/admin/stock", {"productId": sale, "add": 5, "requestId": "a"}, token)
    assert (added.body["stock"], again.body, again.headers["idempotent-replayed"]) == (15, added.body, "true")
    moved = client.json("POST", "/admin/stock", {"productId": sale, "stock": 12}, {**token, "if-match": etag})
    assert (moved.status, moved.body["code"], moved.body["field"]) == (412, "generation_moved", "If-Match")
    changed = client.json("POST", "/admin/stock", {"productId": sale, "stock": 12}, {**token, "if-match": added.headers["etag"]})
    assert (changed.status, changed.body["stock"]) == (200, 12)
    assert client.json("POST", "/admin/stock", {"productId": sale, "add": -13}, token).body["field"] == "add"
    for document in ({"productId": sale}, {"productId": sale, "stock": 1, "add": 1}):
        assert client.admin(document).body["field"] == "stock"


@pytest.mark.parametrize(
    ("order", "restock", "token", "expected"),
    [
        ("none.AAAAAAAAAAAAAAAAAAAA", True, None, (404, "unknown_order")),
        ("none", True, None, (404, "unknown_order")),
        ("none.AAAAAAAAAAAAAAAAAAAA", "yes", None, (400, "bad_request")),
        ("none.AAAAAAAAAAAAAAAAAAAA", True, "wrong", (401, "unauthorized")),
    ],
)
def test_impossible_return_is_refused(client: Client, order: str, restock: object, token: str | None, expected: tuple[int, str]) -> None:
    answer = client.take_back(order, restock, token)
    assert (answer.status, answer.body["code"]) == expected


def test_badly_signed_stale_and_wrong_webhooks_have_no_effect(client: Client, sale: str) -> None:
    order_id = client.order(sale, "ann").body["orderId"]
    good = {"orderId": order_id, "paymentId": uuid.uuid4().hex}
    body = json.dumps({"type": "payment.succeeded", "timestamp": "2026-01-01T00:00:00Z", "data": good}).encode()
    other_secret = "whsec_" + "QUFB" * 8
    refused = [
        client.webhook(body, secret=other_secret),
        client.webhook(body, headers={"webhook-signature": "v1,AAAA"}),
        client.webhook(body, headers={"webhook-id": "another"}),
        client.webhook(body, headers={"webhook-id": ""}),
        client.webhook(body, age_seconds=3600),
        client.webhook(body, age_seconds=-3600),
        client.webhook(body.replace(b"payment.succeeded", b"charge.refunded"), secret=other_secret),
        client.webhook(body.replace(b"paymentId", b"payment")),
        client.webhook(body[:-1]),
        client.send("POST", "/payments/webhook", body, JSON),
    ]
    assert [answer.status for answer in refused] == [401, 401, 401, 401, 400, 400, 401, 400, 400, 401]
    assert client.stock(sale) == (10, 9, 1, 0)


def other_events(client: Client) -> float:
    sample = re.search(r'^flashsale_payments_total\{result="other_type"\} (\S+)$', client.get("/metrics").raw.decode(), re.MULTILINE)
    return float(sample[1]) if sample else 0.0


@pytest.mark.parametrize("data", [None, {"object": {"amount": 5}}, {"orderId": 7}])
def test_signed_event_of_another_type_is_noted_and_changes_nothing(client: Client, sale: str, data: Any) -> None:
    order_id = client.order(sale, "ann").body["orderId"]
    before, event = other_events(client), {"type": "charge.refunded", "created": 1767225600, "orderId": order_id, "data": data}
    noted = client.webhook(json.dumps(event).encode())
    assert (noted.status, noted.body) == (200, {"result": "noted", "reason": "other_type"})
    assert (client.stock(sale), other_events(client) - before) == ((10, 9, 1, 0), 1)


def test_fields_that_a_provider_adds_to_a_payment_are_ignored(client: Client, sale: str) -> None:
    order_id = client.order(sale, "ann").body["orderId"]
    data = {"orderId": order_id, "paymentId": uuid.uuid4().hex, "amountMinor": 999, "currency": "EUR", "method": "card"}
    event = {"id": "evt_1", "type": "payment.succeeded", "timestamp": "2026-01-01T00:00:00Z", "data": data}
    assert client.webhook(json.dumps(event).encode()).body["result"] == "paid"


MISSING = "(missing)"
WRONG_WEBHOOKS: list[tuple[str, Any]] = [
    ("type", MISSING), ("type", 1), ("timestamp", MISSING), ("timestamp", "now"), ("timestamp", 1),
    ("timestamp", "2026-01-01T00:00:00"), ("data", MISSING), ("data", []), ("data", None),
    ("data.orderId", MISSING), ("data.orderId", ""), ("data.orderId", "a b"), ("data.orderId", 1), ("data.orderId", "x" * 129),
    ("data.paymentId", MISSING), ("data.paymentId", ""), ("data.paymentId", None), ("data.paymentId", "x" * 256),
    ("data.amountMinor", MISSING), ("data.amountMinor", -1), ("data.amountMinor", 10**13), ("data.amountMinor", 1.5),
    ("data.amountMinor", "1"), ("data.amountMinor", True), ("data.currency", MISSING), ("data.currency", "euro"),
    ("data.currency", "EURO"), ("data.currency", 5),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), WRONG_WEBHOOKS, ids=str)
def test_wrong_field_of_a_webhook_is_named_and_changes_nothing(client: Client, untouched: str, field: str, value: Any) -> None:
    data: dict[str, Any] = {"orderId": f"{untouched}.{'A' * 20}", "paymentId": uuid.uuid4().hex, "amountMinor": 999, "currency": "EUR"}
    document: dict[str, Any] = {"type": "payment.succeeded", "timestamp": "2026-01-01T00:00:00Z", "data": data}
    where, name = (data, field.removeprefix("data.")) if field.startswith("data.") else (document, field)
    where[name] = value
    if value == MISSING:
        del where[name]
    answer = client.webhook(json.dumps(document).encode())
    assert (answer.status, answer.body["field"], answer.headers["content-type"]) == (400, field, PROBLEM)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_extreme_time_of_a_webhook_is_ignored(client: Client, sale: str, moment: str) -> None:
    order_id = client.order(sale, "ann").body["orderId"]
    data = {"orderId": order_id, "paymentId": uuid.uuid4().hex, "amountMinor": 999, "currency": "EUR"}
    paid = client.webhook(json.dumps({"type": "payment.succeeded", "timestamp": moment, "data": data}).encode())
    assert (paid.status, paid.body["result"], client.get("/sales?limit=1000").status) == (200, "paid", 200)


def test_late_payment_follows_the_policy_of_the_sale(client: Client) -> None:
    refund, reacquire = (client.new_sale(2, paymentWindowSeconds=5, latePayment=policy) for policy in ("refund", "reacquire"))
    late, again = (client.order(sale, "ann").body["orderId"] for sale in (refund, reacquire))
    deadline = time.monotonic() + 15
    while client.stock(refund) != (2, 2, 0, 0) or client.stock(reacquire) != (2, 2, 0, 0):
        assert time.monotonic() < deadline, "unpaid units did not come back"
        time.sleep(0.1)
    assert client.order(refund, "ann").code == "order_gone"
    assert client.send("DELETE", f"/orders/{late}").code == "order_gone"
    answers = client.pay(late, uuid.uuid4().hex).body, client.pay(again, uuid.uuid4().hex).body
    assert answers == ({"result": "refund_due", "reason": "late"}, {"result": "paid", "reason": ""})
    assert (client.stock(refund), client.stock(reacquire)) == ((2, 2, 0, 0), (2, 1, 0, 1))


def test_probes_metrics_and_documents_answer(client: Client, document: Any, sale: str) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/admin/openapi.json", "/admin/docs"):
        answer = client.get(path)
        assert answer.status == 200
        conforms(document, "GET", path, answer)
    scraped = client.get("/metrics").raw.decode()
    assert 'flashsale_orders_total{outcome="accepted"}' in scraped
    assert 'flashsale_sale_stock_units{sale="' in scraped


def test_missing_body_times_out_and_a_client_that_left_is_dropped(stack: Stack, client: Client) -> None:
    address = urlsplit(client.env["FLASHSALE_URL"])
    head = b"POST /order HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{"
    with socket.create_connection((str(address.hostname), address.port), 10) as leaves:
        leaves.sendall(head)
    with socket.create_connection((str(address.hostname), address.port), 20) as waits:
        waits.sendall(head)
        assert b" 408 " in waits.recv(4096).split(b"\r\n")[0]
    log = (stack.home / "log" / "gateway.log").read_text()
    assert "Exception in ASGI application" not in log
    assert "order.failed" not in log
