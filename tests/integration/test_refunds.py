"""Refunds as work, through the ledger-api of the shared stack."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from flashsale_audit.read_ledger import LedgerReader
from flashsale_cli.main import app
from flashsale_local_stack import Stack, wait_until
from tests.integration.client import Answer, Client

ADD = """insert into refunds (payment_id, sale_id, epoch, order_id, reason, amount_minor, currency, created_at)
    values ($1, $2, 1, 'o-1', 'late', 999, 'EUR', now() - $3 * interval '1 second') returning refund_id"""


class Api:
    """The ledger-api, and refunds of a sale that no other test has."""

    def __init__(self, stack: Stack, ledger: asyncpg.Connection | None = None) -> None:
        env = stack.env()
        self.token = env["FLASHSALE_ADMIN_TOKEN"]
        self.sale = f"t-{uuid.uuid4().hex[:12]}"
        self.ledger = ledger
        self._client = Client({**env, "FLASHSALE_URL": env["FLASHSALE_LEDGER_API_URL"]})

    async def add(self, payment: str, age_seconds: int) -> str:
        assert self.ledger is not None
        return str(await self.ledger.fetchval(ADD, f"{self.sale}-{payment}", self.sale, age_seconds))

    def send(self, method: str, path: str, document: Any = None, token: str | None = None) -> Answer:
        headers = {"authorization": f"Bearer {self.token if token is None else token}"}
        if document is None:
            return self._client.send(method, path, None, headers)
        return self._client.json(method, path, document, headers)

    def page(self, query: str = "") -> Answer:
        return self.send("GET", f"/admin/refunds?productId={self.sale}{query}")


@pytest.fixture
async def api(stack: Stack) -> AsyncIterator[Api]:
    ledger = await asyncpg.connect(stack.env()["DATABASE_URL"], timeout=10)
    try:
        yield Api(stack, ledger)
    finally:
        await ledger.close()


PAID = """
    with sale as (
        insert into sales (sale_id, epoch, owner, generation, state, total, max_per_user, hold_seconds, rate_requests, rate_seconds,
                           late_payment, defined_at, retired_at)
            values ($1, 7, 'admin', 1, 'removed', 9, 0, 5, 0, 1, 'refund', now(), now())
    ), history as (
        insert into order_events values ($1, 7, $2, 'reserved', now(), '1-0'), ($1, 7, $2, 'paid', now(), '2-0')
    ), money as (
        insert into payments (payment_id, sale_id, epoch, order_id, status, result, reason, amount_minor, currency, at)
        values ($1 || 'p', $1, 7, $2, 'succeeded', 'paid', '', 999, 'EUR', now())
    )
    insert into orders (sale_id, epoch, order_id, user_id, quantity, state, deadline, payment_id, updated_at, reserved_at)
    values ($1, 7, $2, 'ann', 1, 'paid', now(), $1 || 'p', now(), now())
"""
ORDER = "o2345678901234567890"


async def test_paid_order_of_a_removed_sale_is_returned_in_the_ledger(api: Api) -> None:
    assert api.ledger is not None
    await api.ledger.execute(PAID, api.sale, ORDER)
    path, body = f"/admin/orders/{api.sale}.{ORDER}/return", {"reason": "warranty"}
    assert (api.send("POST", path, {}).status, api.send("POST", path, body, token="wrong").status) == (400, 401)
    first, again = [api.send("POST", path, body) for _ in range(2)]
    assert (first.status, again.status, again.headers["idempotent-replayed"]) == (200, 200, "true")
    refund, name = first.body, f"{api.sale}.{ORDER}"
    assert (refund["state"], refund["reason"], refund["orderId"], refund["amountMinor"]) == ("due", "returned", name, 999)
    assert [(event["who"], event["reason"]) for event in refund["history"]] == [("admin", "warranty")]
    assert (again.body["refundId"], again.body["returnedBy"]) == (refund["refundId"], "admin")
    rows = await api.ledger.fetch("select state, restocked from orders where sale_id = $1", api.sale)
    assert [tuple(row) for row in rows] == [("returned", False)]
    # The money is balanced, and the history leads to the state.
    money = await LedgerReader(api.ledger).money(api.sale)
    assert (money.received_minor, money.refunds_minor, money.refunds_without_payment.count) == ({"EUR": 999}, {"EUR": 999}, 0)
    unknown = api.send("POST", f"/admin/orders/{api.sale}.x2345678901234567890/return", body)
    assert (unknown.status, unknown.body["code"]) == (404, "unknown_order")


async def test_order_whose_payment_was_sent_back_before_is_returned_too(api: Api) -> None:
    """The repeat of its payment overtook the payment, and somebody sent the money back."""
    assert api.ledger is not None
    await api.ledger.execute(PAID, api.sale, ORDER)
    sent = """insert into refunds (payment_id, sale_id, epoch, order_id, reason, amount_minor, refunded_minor, currency, state, created_at)
        values ($1 || 'p', $1, 0, $2, 'unknown_order', 999, 999, 'EUR', 'sent', now())"""
    await api.ledger.execute(sent, api.sale, ORDER)
    answers = [api.send("POST", f"/admin/orders/{api.sale}.{ORDER}/return", {"reason": "warranty"}) for _ in range(2)]
    assert [(answer.status, answer.body["state"], answer.body["reason"]) for answer in answers] == [(200, "sent", "unknown_order")] * 2
    assert [(event["who"], event["toState"], event["reason"]) for event in answers[1].body["history"]] == [("admin", "sent", "warranty")]


async def test_command_returns_an_order_of_a_removed_sale_in_the_ledger(stack: Stack, api: Api) -> None:
    assert api.ledger is not None
    await api.ledger.execute(PAID, api.sale, ORDER)
    command = ["order", "return", f"{api.sale}.{ORDER}", "--json"]

    async def run(*words: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, [*command, *words], env=dict(stack.env()))

    for words in (["--no-restock"], ["--restock", "--reason", "warranty"]):
        refused = await run(*words)
        assert (refused.exit_code != 0, "--no-restock and --reason" in refused.output) == (True, True), refused
    first, again = [await run("--no-restock", "--reason", "warranty") for _ in range(2)]
    assert (first.exit_code, again.exit_code, first.stdout) == (0, 0, again.stdout)
    assert [event["reason"] for event in json.loads(first.stdout)["history"]] == ["warranty"]


async def test_ledger_decides_what_is_undecided_at_the_gateway(api: Api, client: Client) -> None:
    sale, names = client.new_sale(1), [uuid.uuid4().hex, f"pi/3?%2F{uuid.uuid4().hex}", uuid.uuid4().hex, uuid.uuid4().hex]
    order_id, (paid, second, failed, stray) = client.order(sale, "ann").body["orderId"], names
    assert client.pay(order_id, failed, "failed").body == {"result": "noted", "reason": ""}
    assert (client.pay(order_id, paid).body["result"], client.end_sale(sale).body["state"]) == ("paid", "removed")
    asked = [(order_id, paid), (order_id, second), ("no-order-of-a-sale", stray)]
    assert [client.pay(*payment).body["result"] for payment in asked] == ["undecided"] * 3

    def shown(order: str, payment: str) -> Answer:
        return api.send("GET", f"/admin/orders/{quote(order, safe='')}/payments/{quote(payment, safe='')}")

    assert wait_until(lambda: all(shown(*payment).status == 200 for payment in asked), 30)
    answers = [shown(*payment).body for payment in [*asked, (order_id, failed)]]
    assert [(answer["paymentId"], answer["orderId"], answer["result"], answer["reason"]) for answer in answers] == [
        (paid, order_id, "paid", ""), (second, order_id, "refund_due", "unknown_order"),
        (stray, "no-order-of-a-sale", "refund_due", "unknown_order"), (failed, order_id, "failed", ""),
    ]  # fmt: skip
    assert [answer["refundId"] is None for answer in answers] == [True, False, False, True]
    path, body = f"/admin/orders/{order_id}/return", {"reason": "warranty"}
    assert wait_until(lambda: api.send("POST", path, body).status == 200, 30), "the removal reaches the ledger"
    refund, returned = api.send("POST", path, body).body["refundId"], shown(order_id, paid).body
    assert (returned["result"], returned["refundId"], returned["amountMinor"], returned["productId"]) == ("paid", refund, 999, sale)


@pytest.mark.parametrize("payment", ["none", "%00", "%2F"])
def test_unknown_payment_is_a_problem(stack: Stack, payment: str) -> None:
    answer = Api(stack).send("GET", f"/admin/orders/shoe.{ORDER}/payments/{payment}")
    assert (answer.status, answer.code) == (404, "unknown_payment")


async def report_refunds(api: Api, *ages_seconds: int) -> list[str]:
    """Paid orders of a sale, each with a part that the provider paid back so long ago; returns the names of the orders."""
    assert api.ledger is not None
    await api.ledger.execute(PAID, api.sale, ORDER)
    names = []
    for number, age in enumerate(ages_seconds):
        order = f"{ORDER[:-1]}{number}"
        if order != ORDER:
            await api.ledger.execute(COPY, api.sale, ORDER, order)
        payment = await api.ledger.fetchval("select payment_id from orders where sale_id = $1 and order_id = $2", api.sale, order)
        report = "insert into refund_reports values ($1, $2, $3, $1, 400, 'EUR', now() - $4 * interval '1 second')"
        await api.ledger.execute(report, payment, api.sale, order, age)
        names.append(f"{api.sale}.{order}")
    return names


COPY = """
    with money as (
        insert into payments (payment_id, sale_id, epoch, order_id, status, result, reason, amount_minor, currency, at)
        select payment_id || $3, sale_id, epoch, $3, status, result, reason, amount_minor, currency, at
          from payments where sale_id = $1 and order_id = $2
    )
    insert into orders (sale_id, epoch, order_id, user_id, quantity, state, deadline, payment_id, updated_at, reserved_at)
    select sale_id, epoch, $3, user_id, quantity, state, deadline, payment_id || $3, updated_at, reserved_at
      from orders where sale_id = $1 and order_id = $2
"""


async def test_reported_refunds_of_paid_orders_are_listed_and_left(api: Api) -> None:
    newest, oldest, middle = await report_refunds(api, 10, 3000, 200)
    path = f"/admin/reported-refunds?productId={api.sale}"
    first = api.send("GET", f"{path}&limit=2").body
    assert [order["orderId"] for order in first["reportedRefunds"]] == [oldest, middle]
    shown = first["reportedRefunds"][0]
    assert (shown["userId"], shown["amountMinor"], shown["reportedMinor"], shown["reportedCurrency"]) == ("ann", 999, 400, "EUR")
    assert 3000 <= shown["ageSeconds"] < 3600
    last = api.send("GET", f"{path}&limit=2&after={first['next']}").body
    assert ([order["orderId"] for order in last["reportedRefunds"]], last["next"]) == ([newest], None)
    leave, body = f"/admin/orders/{oldest}/leave-paid", {"reason": "a courtesy"}
    # More was reported than the sender has seen, or less: somebody has to look again.
    others = [api.send("POST", leave, body | {"reportedMinor": seen}) for seen in (399, 401)]
    assert {(other.status, other.code, other.body["field"]) for other in others} == {(409, "reported_more", "reportedMinor")}
    left, again = api.send("POST", leave, body | {"reportedMinor": 400}), api.send("POST", leave, {"reason": "other"})
    assert (left.status, left.body["leftBy"], left.body["reason"], left.body["reportedMinor"]) == (200, "admin", "a courtesy", 400)
    assert (again.body, again.headers["idempotent-replayed"]) == (left.body, "true")
    assert [order["orderId"] for order in api.send("GET", path).body["reportedRefunds"]] == [middle, newest]
    refund = api.send("POST", f"/admin/orders/{oldest}/return", {"reason": "warranty"}).body
    assert [(event["fromState"], event["toState"]) for event in refund["history"]] == [("reported", "left"), ("due", "due")]
    assert api.send("POST", leave, body).code == "not_reported"
    assert api.send("POST", "/admin/orders/none/leave-paid", body).code == "unknown_order"
    fields = [api.send("GET", f"{path}&{wrong}").body["field"] for wrong in ("after=1.x", "after=x", "state=due")]
    assert fields == ["after", "after", "state"]


async def test_command_lists_and_leaves_reported_refunds(api: Api, stack: Stack) -> None:
    (order,) = await report_refunds(api, 90_000)
    listed = await asyncio.to_thread(run, stack, "reported", "--product", api.sale)
    assert listed.stdout.splitlines()[1].split()[:7] == ["1", "d", "999", "EUR", "400", "EUR", order], listed.output
    left = await asyncio.to_thread(run, stack, "leave", order, "--reason", "a courtesy")
    assert (left.exit_code, "stays paid: admin" in left.stdout) == (0, True)
    shown = await asyncio.to_thread(run, stack, "reported", "--product", api.sale, "--json")
    assert json.loads(shown.stdout) == {"reportedRefunds": []}
    assert (await asyncio.to_thread(run, stack, "leave", f"{api.sale}.{ORDER[:-1]}x", "--reason", "x")).exit_code == 3


async def test_refunds_are_listed_in_pages_from_the_oldest_on(api: Api) -> None:
    newest, oldest, middle = [await api.add(name, age) for name, age in (("a", 10), ("b", 3000), ("c", 200))]
    first = api.page("&state=due&limit=2").body
    assert [refund["refundId"] for refund in first["refunds"]] == [oldest, middle]
    assert 3000 <= first["refunds"][0]["ageSeconds"] < 3600
    last = api.page(f"&state=due&limit=2&after={first['next']}").body
    assert ([refund["refundId"] for refund in last["refunds"]], last["next"]) == ([newest], None)
    assert api.page("&state=sent,failed").body == api.page("&reason=wrong_amount").body == {"refunds": [], "next": None}
    assert len(api.page("&reason=late").body["refunds"]) == 3


@pytest.mark.parametrize("query", ["&state=gone", "&limit=0", "&limit=1001", "&after=x", "&status=due", "&state=due&state=due"])
def test_wrong_parameter_is_named(stack: Stack, query: str) -> None:
    answer = Api(stack).page(query)
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.body["field"] == query.split("=")[0].strip("&")


@pytest.mark.parametrize("token", ["", "wrong", "Bearer"])
def test_every_request_needs_an_admin_key(stack: Stack, token: str) -> None:
    answer = Api(stack).send("GET", "/admin/refunds", token=token)
    assert (answer.status, answer.code, answer.headers["www-authenticate"]) == (401, "unauthorized", "Bearer")


def test_unknown_paths_and_methods_are_problems(stack: Stack) -> None:
    api = Api(stack)
    assert (api.send("GET", "/admin/other").code, api.send("GET", "/admin/refunds/").code) == ("not_found", "not_found")
    wrong = api.send("DELETE", "/admin/refunds")
    assert (wrong.status, wrong.code, "GET" in wrong.headers["allow"]) == (405, "method_not_allowed", True)


async def test_refund_is_settled_with_who_reference_and_history(api: Api) -> None:
    path = f"/admin/refunds/{await api.add('a', 60)}"
    failed = api.send("POST", path, {"state": "failed", "reason": "account closed"})
    assert (failed.status, failed.body["state"], failed.body["refundedMinor"]) == (200, "failed", 0)
    sent = api.send("POST", path, {"state": "sent", "reference": "re_1"})
    assert (sent.status, sent.body["state"], sent.body["refundedMinor"]) == (200, "sent", 999)
    again = api.send("POST", path, {"state": "sent", "reference": "re_1"})
    assert (again.status, again.headers["idempotent-replayed"]) == (200, "true")
    shown = api.send("GET", path).body
    assert [(event["who"], event["fromState"], event["toState"], event["reference"], event["reason"]) for event in shown["history"]] == [
        ("admin", "due", "failed", "", "account closed"),
        ("admin", "failed", "sent", "re_1", ""),
    ]
    assert shown["changedAt"] is not None
    assert [refund["refundId"] for refund in api.page("&state=sent").body["refunds"]] == [shown["refundId"]]


async def test_of_two_people_at_once_one_wins_and_the_other_sees_it(api: Api) -> None:
    path = f"/admin/refunds/{await api.add('a', 60)}"

    def settle(reference: str) -> Answer:
        return api.send("POST", path, {"state": "sent", "reference": reference})

    answers = await asyncio.gather(*[asyncio.to_thread(settle, f"re_{number}") for number in range(4)])
    (winner,) = [answer for answer in answers if answer.status == 200]
    losers = [answer for answer in answers if answer.status != 200]
    assert {answer.code for answer in losers} == {"refund_changed"}
    reference = winner.body["history"][0]["reference"]
    assert [answer.body["refund"]["history"][0]["reference"] for answer in losers] == [reference] * 3
    assert len(api.send("GET", path).body["history"]) == 1


async def test_sent_refund_is_opened_only_by_who_says_so(api: Api) -> None:
    path = f"/admin/refunds/{await api.add('a', 60)}"
    assert api.send("POST", path, {"state": "sent", "reference": "re_1"}).status == 200
    again = {"state": "due", "reason": "the bank sent it back"}
    assert api.send("POST", path, again).code == "refund_changed"
    opened = api.send("POST", path, again | {"expectedState": "sent"})
    assert (opened.body["state"], opened.body["refundedMinor"], len(opened.body["history"])) == ("due", 0, 2)


def test_refused_changes_are_logged_with_who_and_why(stack: Stack) -> None:
    api, order = Api(stack), f"t-{uuid.uuid4().hex[:12]}.{ORDER}"
    refused: tuple[tuple[str, str, Any, dict[str, object], str], ...] = (
        ("refund.change", "/admin/refunds/999999999999", {"state": "failed", "reason": "x"}, {"refund_id": 999999999999}, "unknown_refund"),
        ("refund.change", "/admin/refunds/1", {"state": "sent"}, {"refund_id": 1}, "bad_request"),
        ("order.return", f"/admin/orders/{order}/return", {"reason": "x"}, {"order_id": order}, "unknown_order"),
        ("order.leave_paid", f"/admin/orders/{order}/leave-paid", {"reason": "x", "reportedMinor": 1}, {"order_id": order}, "not_reported"),
    )
    for action, path, document, _, code in refused:
        answer = api.send("POST", path, document)
        assert (action, answer.code) == (action, code)
    lines = map(json.loads, (stack.home / "log" / "ledger-api.log").read_text().splitlines())
    logged = [line for line in lines if line["event"] == "admin.change"][-len(refused) :]
    assert [line["result"] for line in logged] == [code for *_, code in refused]
    for line, (action, _, _, subject, _) in zip(logged, refused, strict=True):
        assert (line["by"], line["action"]) == ("admin", action)
        assert subject.items() <= line.items()


@pytest.mark.parametrize("refund", ["0", "999999999999", "x", "1" * 30])
def test_unknown_refund_is_a_problem(stack: Stack, refund: str) -> None:
    api = Api(stack)
    assert api.send("GET", f"/admin/refunds/{refund}").code == "unknown_refund"
    assert api.send("POST", f"/admin/refunds/{refund}", {"state": "failed", "reason": "x"}).code == "unknown_refund"


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"state": "sent"}, "reference"),
        ({"state": "gone", "reason": "x"}, "state"),
        ({"state": "failed", "reason": 7}, "reason"),
        ({"state": "failed", "reason": "no\0account"}, "reason"),
    ],
)
def test_wrong_body_names_the_field(stack: Stack, document: dict[str, Any], field: str) -> None:
    answer = Api(stack).send("POST", "/admin/refunds/1", document)
    assert (answer.status, answer.body["field"]) == (400, field)


async def test_history_is_never_changed(api: Api) -> None:
    path = f"/admin/refunds/{await api.add('a', 60)}"
    assert api.send("POST", path, {"state": "sent", "reference": "re_1"}).status == 200
    assert api.ledger is not None
    for statement in ("update refund_events set who = 'nobody'", "delete from refund_events", "delete from refund_reports"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await api.ledger.execute(statement)


def run(stack: Stack, *words: str) -> Result:
    return CliRunner().invoke(app, ["refunds", *words], env=stack.env())


async def test_command_lists_and_settles_refunds(api: Api, stack: Stack) -> None:
    first, second = [await api.add(name, age) for name, age in (("a", 90_000), ("b", 60))]
    listed = await asyncio.to_thread(run, stack, "list", "--product", api.sale)
    assert [line.split()[:4] for line in listed.stdout.splitlines()[1:3]] == [[first, "due", "1", "d"], [second, "due", "1", "min"]]
    sent = await asyncio.to_thread(run, stack, "sent", first, "--reference", "re_1", "--json")
    assert (sent.exit_code, json.loads(sent.stdout)["state"]) == (0, "sent")
    late = await asyncio.to_thread(run, stack, "failed", first, "--reason", "account closed")
    assert (late.exit_code, "is sent; --expected-state sent" in late.stderr) == (1, True)
    failed = await asyncio.to_thread(run, stack, "failed", second, "--reason", "account closed")
    shown = await asyncio.to_thread(run, stack, "show", second, "--json")
    assert (failed.exit_code, json.loads(shown.stdout)["history"][0]["reason"]) == (0, "account closed")
    assert (await asyncio.to_thread(run, stack, "show", "0")).exit_code == 3


async def test_signed_report_of_the_provider_settles_a_refund(api: Api, client: Client) -> None:
    sale = client.new_sale(1)
    order_id = client.order(sale, "anna").body["orderId"]
    assert client.send("DELETE", f"/orders/{order_id}").status == 200
    assert client.pay(order_id, f"{sale}-p").body == {"result": "refund_due", "reason": "cancelled"}

    def refunded(amount_minor: int, reference: str) -> Answer:
        data = {"orderId": order_id, "paymentId": f"{sale}-p", "amountMinor": amount_minor, "currency": "eur", "refundId": reference}
        event = {"type": "payment.refunded", "timestamp": "2026-11-29T12:00:00Z", "data": data}
        return client.webhook(json.dumps(event).encode())

    def shown() -> list[tuple[str, int]]:
        page = api.send("GET", f"/admin/refunds?productId={sale}").body["refunds"]
        return [(refund["state"], refund["refundedMinor"]) for refund in page]

    assert refunded(400, "re_1").body == {"result": "noted", "reason": "refunded"}
    assert await asyncio.to_thread(wait_until, lambda: shown() == [("due", 400)], 20)
    assert (refunded(599, "re_2").status, refunded(400, "re_1").status) == (200, 200)
    assert await asyncio.to_thread(wait_until, lambda: shown() == [("sent", 999)], 20)
    assert refunded(0, "re_3").status == 400
