"""A small blocking client of the gateway, which returns exactly what was on the wire."""

import base64
import hmac
import http.client
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

ANSWER_SECONDS = 60.0
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    @property
    def code(self) -> str:
        return str(self.body.get("code"))


class Client:
    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = env
        self._address = urlsplit(env["FLASHSALE_URL"])

    def send(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection(str(self._address.hostname), self._address.port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def json(self, method: str, path: str, document: Any, headers: Mapping[str, str] | None = None) -> Answer:
        return self.send(method, path, json.dumps(document).encode(), {**JSON, **(headers or {})})

    def get(self, path: str) -> Answer:
        return self.send("GET", path)

    def order(self, sale: str, user: str, quantity: int = 1, request: str = "r1") -> Answer:
        return self.json("POST", "/order", {"userId": user, "productId": sale, "quantity": quantity, "requestId": request})

    def admin(self, document: Any, token: str | None = None) -> Answer:
        bearer = token if token is not None else self.env["FLASHSALE_ADMIN_TOKEN"]
        return self.json("POST", "/admin/stock", document, {"authorization": f"Bearer {bearer}"})

    def end_sale(self, sale: str, query: str = "", token: str | None = None) -> Answer:
        bearer = token if token is not None else self.env["FLASHSALE_ADMIN_TOKEN"]
        return self.send("DELETE", f"/admin/sales/{sale}{query}", None, {"authorization": f"Bearer {bearer}"})

    def new_sale(self, stock: int, **fields: Any) -> str:
        sale = f"t-{uuid.uuid4().hex[:12]}"
        until_answered(lambda: self.admin({"productId": sale, "stock": stock, **fields}))
        return sale

    def take_back(self, order_id: str, restock: object, token: str | None = None) -> Answer:
        bearer = token if token is not None else self.env["FLASHSALE_ADMIN_TOKEN"]
        return self.json("POST", f"/admin/orders/{order_id}/return", {"restock": restock}, {"authorization": f"Bearer {bearer}"})

    def stock(self, sale: str) -> tuple[int, int, int, int]:
        """(total, available, reserved, sold)"""
        answer = self.get(f"/sales/{sale}")
        assert answer.status == 200, answer
        shown = answer.body
        return shown["stock"], shown["available"], shown["reserved"], shown["sold"]

    def pay(
        self, order_id: str, payment_id: str, kind: str = "succeeded", currency: str = "EUR", amount_minor: int = 999, **more: Any
    ) -> Answer:
        data = {"orderId": order_id, "paymentId": payment_id, "amountMinor": amount_minor, "currency": currency}
        document = {"type": f"payment.{kind}", "timestamp": datetime.now(UTC).isoformat(), "data": data}
        return self.webhook(json.dumps(document).encode(), **more)

    def webhook(self, body: bytes, age_seconds: int = 0, secret: str | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        return self.send("POST", "/payments/webhook", body, {**JSON, **self.signed(body, age_seconds, secret), **(headers or {})})

    def signed(self, body: bytes, age_seconds: int = 0, secret: str | None = None) -> dict[str, str]:
        """The headers of a signed webhook."""
        moment = datetime.now(UTC) - timedelta(seconds=age_seconds)
        message_id = f"msg_{uuid.uuid4().hex}"
        key = base64.b64decode((secret or self.env["FLASHSALE_WEBHOOK_SECRET"]).removeprefix("whsec_"))
        # The library's `sign` accepts only text; tests also sign bytes that are not UTF-8.
        mac = hmac.digest(key, f"{message_id}.{int(moment.timestamp())}.".encode() + body, "sha256")
        signature = f"v1,{base64.b64encode(mac).decode()}"
        return {"webhook-id": message_id, "webhook-timestamp": str(int(moment.timestamp())), "webhook-signature": signature}


def until_answered(ask: Callable[[], Answer]) -> Answer:
    """Repeat a request, as a patient client does, until it succeeds. Any other answer but a 503 fails, and so does a minute without one.

    On a machine whose disk stands still for seconds, a server of the tests does too.
    """
    give_up = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < give_up:
        try:
            answer = ask()
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
            continue
        if answer.status in (200, 201):
            return answer
        assert answer.status == 503, answer
        time.sleep(0.05)
    raise AssertionError("the request was not answered")
