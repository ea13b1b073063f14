"""A browser's view of the console without a browser: cookies, forms and the Origin header; and what its pages show."""

import asyncio
import json
import re
from collections.abc import Mapping
from http.client import HTTPConnection
from typing import NamedTuple
from urllib.parse import urlencode

from flashsale_core.keys import sale_keys
from flashsale_local_stack import Stack
from flashsale_local_stack.state import load
from flashsale_redis import open_redis
from tests.integration.client import Client


class Page(NamedTuple):
    status: int
    headers: Mapping[str, str]
    text: str

    def fields(self) -> dict[str, str]:
        """The hidden fields of the page's forms."""
        return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', self.text))


class Visitor:
    def __init__(self, stack: Stack) -> None:
        env = stack.env()
        self.origin = env["FLASHSALE_CONSOLE_ORIGINS"]
        state = load(stack.home)
        assert state is not None
        self.password = state.secrets.console_password
        self.cookie = ""

    def get(self, path: str, **headers: str) -> Page:
        return self.send("GET", path, None, headers)

    def post(self, path: str, fields: Mapping[str, str], **headers: str) -> Page:
        return self.send("POST", path, urlencode(fields), {"origin": self.origin} | headers)

    def send(self, method: str, path: str, body: str | None, headers: Mapping[str, str]) -> Page:
        connection = HTTPConnection(self.origin.removeprefix("http://"), timeout=60)
        sent = {"content-type": "application/x-www-form-urlencoded"} if body is not None else {}
        sent |= {"cookie": self.cookie} if self.cookie else {}
        try:
            connection.request(method, path, body, {**sent, **headers})
            answer = connection.getresponse()
            page = Page(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode())
        finally:
            connection.close()
        if cookie := page.headers.get("set-cookie"):
            self.cookie = cookie.split(";")[0]
        return page

    def log_in(self, name: str) -> "Visitor":
        page = self.post("/login", {"name": name, "password": self.password})
        assert (page.status, page.headers["location"]) == (303, "/")
        return self


def own_by_flashsale(stack: Stack, sale_id: str) -> None:
    """As the operator does, for a FlashSale `drop` in the namespace `shop`."""

    async def write() -> None:
        redis = open_redis(stack.env()["REDIS_URL"], 5, 1)
        await redis.hset(sale_keys(sale_id).sale, "owner", "shop/drop/uid-1")
        await redis.aclose()

    asyncio.run(write())


def pay_back(shop: Client, order_id: str, payment: str, amount_minor: int) -> None:
    """Report a refund that the provider has made by itself."""
    data = {"orderId": order_id, "paymentId": payment, "amountMinor": amount_minor, "currency": "EUR", "refundId": f"re_{amount_minor}"}
    event = {"type": "payment.refunded", "timestamp": "2026-11-29T12:00:00Z", "data": data}
    assert shop.webhook(json.dumps(event).encode()).body["result"] == "noted"
