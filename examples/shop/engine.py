"""The engine as the shop sees it: an order's state, payments to be decided, and the feed of events."""

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
TOKEN_SECONDS = 3600
PAID = ("paid", "replayed")
"""Results of a payment that has bought its order: now, or when it was reported before."""


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
        """None if there is no such order, or it belongs to somebody else."""
        token = self.credentials(buyer).get("token")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        answer = self._http("GET", f"{self._settings.engine_url}/orders/{quote(order_id, safe='')}", headers, None, SECONDS)
        return answer.json() if answer.status == 200 else None

    def forward(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """A browser's order, unchanged. In production the ingress does this: /order is the engine's, every other path the shop's."""
        kept = {name: headers[name] for name in ("content-type", "authorization", "idempotency-key") if name in headers}
        return self._http("POST", f"{self._settings.engine_url}/order", kept, body, SECONDS)

    def decide(self, order: Order) -> str:
        """Report that the order's payment is authorised; returns `paid`, `replayed` or `refund_due`. Raises NoDecisionError."""
        return str(self._report("payment.succeeded", order).get("result"))

    def report_released(self, order: Order) -> None:
        """Report that the buyer has the money back, so the engine's refund is no longer due. Raises NoDecisionError."""
        self._report("payment.refunded", order)

    def events(self, after: str) -> tuple[list[Json], str]:
        """A page of the feed: (events, where the next page begins). Raises OSError when there is none."""
        headers = {"authorization": f"Bearer {self._settings.admin_key}"}
        url = f"{self._settings.events_url}/admin/events" + (f"?after={quote(after, safe='')}" if after else "")
        answer = self._http("GET", url, headers, None, SECONDS)
        page = answer.json()
        if answer.status != 200 or page is None:
            raise OSError(f"/admin/events answers {answer.status}")
        return page["events"], str(page["next"])

    def _report(self, kind: str, order: Order) -> Json:
        """Repeated while the engine asks for it. The payment's id, not the message's, makes the repetition harmless."""
        data = {
            "orderId": order.order_id,
            "paymentId": order.payment_id,
            "amountMinor": order.amount_minor,
            "currency": order.currency,
        }
        body = json.dumps({"type": kind, "timestamp": datetime.now(UTC).isoformat(), "data": data})
        for _ in range(ATTEMPTS_MOST):
            answer = self._post(body)
            if answer is not None and answer.status == 200:
                return answer.json() or {}
            if answer is not None and answer.status < 500:
                raise NoDecisionError(f"{kind} was refused: {answer.body.decode(errors='replace')}")
            sleep(float((answer and answer.headers.get("retry-after")) or 1))
        raise NoDecisionError(f"{kind} has no answer yet")

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
