"""Refunds as work, through the ledger-api of the shared stack."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from flashsale_local_stack import Stack
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


async def test_refunds_are_listed_in_pages_from_the_oldest_on(api: Api) -> None:
    newest, oldest, middle = [await api.add(name, age) for name, age in (("a", 10), ("b", 3000), ("c", 200))]
    first = api.page("&state=due&limit=2").body
    assert [refund["refundId"] for refund in first["refunds"]] == [oldest, middle]
    assert 3000 <= first["refunds"][0]["ageSeconds"] < 3600
    last = api.page(f"&state=due&limit=2&after={first['next']}").body
    assert ([refund["refundId"] for refund in last["refunds"]], last["next"]) == ([newest], None)
    assert api.page("&state=sent,failed").body == {"refunds": [], "next": None}


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
