"""Signed webhooks, as a payment provider sends them."""

from datetime import datetime

import msgspec
from standardwebhooks.webhooks import Webhook


class Signer:
    def __init__(self, secret: str) -> None:
        self._webhook = Webhook(secret)

    def payment(self, order: str, payment_id: str, amount_minor: int, now: datetime) -> tuple[bytes, dict[str, str]]:
        """Body and headers of the webhook of a successful payment. Repeated attempts keep their id, as Standard Webhooks requires."""
        data = {"orderId": order, "paymentId": payment_id, "amountMinor": amount_minor, "currency": "EUR"}
        body = msgspec.json.encode({"type": "payment.succeeded", "timestamp": now.isoformat(), "data": data})
        message_id = f"msg-{payment_id}"
        return body, {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._webhook.sign(message_id, now, body.decode()),
        }
