"""The engine as the shop sees it: an order's state, and payments to be decided."""

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from time import sleep, time
from urllib.parse import quote

from standardwebhooks.webhooks import Webhook

from examples.shop.settings import Settings
from examples.shop.store import Order
from flashsale_client import Answer, Json, Send, send, sign_buyer_token

SECONDS = 10.0
ATTEMPTS_MOST = 5
WAIT_MOST_SECONDS = 10.0
TOKEN_SECONDS = 3600
PAID = ("paid", "replayed")
"""Results of a payment that has bought its order: now, or when it was reported before."""
REFUND_DUE = "refund_due"
UNDECIDED = "undecided"
"""The engine has no such order, or no more because its sale was removed: its ledger knows whether the payment has bought it."""
DECISIONS = (*PAID, REFUND_DUE, UNDECIDED)
SHOWN_BYTES = 200


class NoDecisionError(Exception):
    """The engine has not decided yet. Report the payment again: the same payment id gets the same decision."""


class Engine:
    def __init__(self, settings: Settings, http: Send = send) -> None:
        self._settings = settings
        self._http = http
        self._signer = Webhook(settings.webhook_secret)

    def credentials(self, buyer: str) -> Json:
        """What `buy` needs to order for this buyer: a token, or on a laptop the name."""
        key = self._settings.buyer_token_key
        return {"token": sign_buyer_token(key, buyer, int(time()) + TOKEN_SECONDS)} if key else {"userId": buyer}

    def order(self, order_id: str, buyer: str) -> Json | None:
        """None if there is no such order, if it belongs to somebody else, or without an answer."""
        token = self.credentials(buyer).get("token")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        try:
            answer = self._http("GET", f"{self._settings.engine_url}/orders/{quote(order_id, safe='')}", headers, None, SECONDS)
        except OSError:
            return None
        document = answer.json() if answer.status == 200 else None
        # The page of a proxy is no order.
        return document if document is not None and document.get("orderId") == order_id else None

    def forward(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """A browser's order, unchanged. In production the ingress does this: /order is the engine's, every other path the shop's."""
        kept = {name: headers[name] for name in ("content-type", "authorization", "idempotency-key") if name in headers}
        return self._http("POST", f"{self._settings.engine_url}/order", kept, body, SECONDS)

    def decide(self, order: Order) -> str:
        """Report that the order's payment is authorised; returns the engine's decision. Raises NoDecisionError.

        The report is repeated while the engine asks for it; the payment's id, not the message's, makes that harmless.
        """
        data = {
            "orderId": order.order_id,
            "paymentId": order.payment_id,
            "amountMinor": order.amount_minor,
            "currency": order.currency,
        }
        body = json.dumps({"type": "payment.succeeded", "timestamp": datetime.now(UTC).isoformat(), "data": data})
        for _ in range(ATTEMPTS_MOST):
            answer = self._post(body)
            if answer is not None and answer.status == 200:
                document = answer.json() or {}
                result = document.get("result")
                if result in DECISIONS:
                    return str(result)
                # The page of a proxy, for example: no payment is cancelled for it.
                raise NoDecisionError(f"what answered is not the engine: {answer.body[:SHOWN_BYTES].decode(errors='replace')}")
            if answer is not None and answer.status < 500:
                raise NoDecisionError(f"the engine refuses the report: {answer.body.decode(errors='replace')}")
            sleep(_wait_seconds(answer))
        raise NoDecisionError("the engine does not answer")

    def _post(self, body: str) -> Answer | None:
        now, name = datetime.now(UTC), f"msg_{secrets.token_hex(12)}"
        headers = {
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(name, now, body),
        }
        try:
            return self._http("POST", f"{self._settings.engine_url}/payments/webhook", headers, body.encode(), SECONDS)
        except OSError:
            return None


def _wait_seconds(answer: Answer | None) -> float:
    """As Retry-After says, if it is a number: a proxy may send a date, or an hour."""
    text = answer.headers.get("retry-after", "") if answer else ""
    return min(WAIT_MOST_SECONDS, float(text)) if text.isascii() and text.isdigit() else 1.0
