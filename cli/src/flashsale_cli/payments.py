"""Signed webhooks, as a payment provider sends them."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from aiohttp import ClientSession
from standardwebhooks.webhooks import Webhook

from flashsale_cli.http_client import send_request
from flashsale_core.errors import Retryable

Kind = Literal["succeeded", "failed"]
AMOUNT_MINOR_DEFAULT = 4900
CURRENCY_DEFAULT = "EUR"


@dataclass(frozen=True, slots=True)
class Payment:
    order_id: str
    payment_id: str
    kind: Kind = "succeeded"
    amount_minor: int = AMOUNT_MINOR_DEFAULT
    currency: str = CURRENCY_DEFAULT


@dataclass(frozen=True, slots=True)
class RefundReport:
    """What a provider has paid back."""

    order_id: str
    payment_id: str
    refund_id: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Provider:
    url: str
    webhook: Webhook

    async def send(self, session: ClientSession, payment: Payment | RefundReport) -> str:
        """The gateway's result, such as `paid`, `replayed` or `refund_due (late)`, or the code of its refusal."""
        body, headers = signed(self.webhook, payment, datetime.now(UTC))
        try:
            answer = await send_request(session, "POST", f"{self.url}/payments/webhook", body, headers)
        except Retryable:
            return "error (no answer)"
        if answer.status == 200:
            return _result_text(answer.document) if isinstance(answer.document, dict) else "error (200, and not the gateway's answer)"
        return f"refused ({answer.status} {answer.code})"

    async def send_all(self, session: ClientSession, payments: Sequence[Payment], concurrency: int, times: int = 1) -> Counter[str]:
        """Send the webhook of each payment `times` times in a row. Returns how often each result occurred."""
        results: Counter[str] = Counter()
        queue = iter(payments)
        lanes = [self._send_from(session, queue, times, results) for _ in range(min(concurrency, len(payments)))]
        await asyncio.gather(*lanes)
        return results

    async def _send_from(self, session: ClientSession, queue: Iterator[Payment], times: int, results: Counter[str]) -> None:
        for payment in queue:
            for _ in range(times):
                results[await self.send(session, payment)] += 1


def new_payment_id() -> str:
    return f"pay-{uuid4().hex}"


def signed(webhook: Webhook, payment: Payment | RefundReport, now: datetime) -> tuple[bytes, dict[str, str]]:
    """Body and headers of the webhook. Its id is derived from the payment or refund: repeated attempts must keep it."""
    body = json.dumps(_document(payment, now), separators=(",", ":"))
    what = payment.kind if isinstance(payment, Payment) else payment.refund_id
    message_id = f"msg-{payment.payment_id}-{what}"
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": webhook.sign(message_id, now, body),
    }
    return body.encode(), headers


def _document(payment: Payment | RefundReport, now: datetime) -> dict[str, Any]:
    data: dict[str, Any] = {
        "orderId": payment.order_id,
        "paymentId": payment.payment_id,
        "amountMinor": payment.amount_minor,
        "currency": payment.currency,
    }
    if isinstance(payment, RefundReport):
        data["refundId"] = payment.refund_id
    kind = payment.kind if isinstance(payment, Payment) else "refunded"
    return {"type": f"payment.{kind}", "timestamp": now.isoformat(), "data": data}


def _result_text(document: Any) -> str:
    result, reason = document.get("result", "?"), document.get("reason", "")
    return f"{result} ({reason})" if reason else str(result)
