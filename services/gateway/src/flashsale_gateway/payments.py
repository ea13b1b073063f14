"""POST /payments/webhook: check the signature and the body, have the payment decided in Redis, answer."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache

import msgspec
from opentelemetry.trace import Span
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from flashsale_core import semconv, tracing
from flashsale_core.ids import parse_order_ref
from flashsale_core.messages import PaymentRefunded
from flashsale_core.scripts import Payment
from flashsale_gateway import metrics, spans
from flashsale_gateway.batching import Batcher
from flashsale_gateway.http import bodies
from flashsale_gateway.http.answers import UNCACHED, Answer
from flashsale_gateway.http.body_schemas import PaymentWebhook, RefundWebhook, field_of_bad_utf8, read_webhook
from flashsale_gateway.http.endpoints import Endpoint, Headers
from flashsale_gateway.http.problems import Problem
from flashsale_gateway.lanes import Waiter
from flashsale_gateway.refund_reports import RefundReports
from flashsale_gateway.settings import Settings
from flashsale_gateway.store import Result

PATH = "/payments/webhook"
SIGNED = ("webhook-id", "webhook-timestamp", "webhook-signature")
OTHER_TYPE = "other_type"
"""Reason and metric label of a signed event whose type has no effect."""
WRONG_AMOUNT = "wrong_amount"
"""Reason and metric label of a payment whose amount or currency is not the sale's price."""
REFUNDED = "refunded"
"""Reason and metric label of a signed report that money was paid back."""
UNCONFIRMED = "unconfirmed"
"""Problem code and metric label of a payment that is stored but not confirmed by the broker."""
_COUNTED_BY_REASON = frozenset({OTHER_TYPE, REFUNDED, WRONG_AMOUNT})
_REQUEST_SPAN = semconv.request("POST", PATH)
_SIGNED = {name.encode(): name for name in SIGNED}
_JSON = (b"content-type", b"application/json")
_REPLAYED = (b"idempotent-replayed", b"true")


class PendingPayment(msgspec.Struct, frozen=True):
    """A payment that waits for its decision."""

    order_ref: str
    payment_id: str
    span: Span | None
    trace_id: str
    """Empty when the payment is not sampled."""

    def log_fields(self) -> dict[str, str]:
        fields = {"order_id": self.order_ref, "payment_id": self.payment_id}
        return fields | ({"trace_id": self.trace_id} if self.trace_id else {})


class Payments(Endpoint[PendingPayment, Payment]):
    def __init__(self, batcher: Batcher[Payment, Result], webhooks: Sequence[Webhook], settings: Settings, trace: tracing.Tracing,
                 refund_reports: RefundReports) -> None:  # fmt: skip
        super().__init__(batcher, settings, trace, "payment")
        self._webhooks = webhooks
        self._refund_reports = refund_reports
        for result in (*_COUNTED_BY_REASON, UNCONFIRMED):
            # Shown as 0 before the first, or an alert would miss the first payment of a wrong amount.
            metrics.PAYMENTS.labels(result)

    def accept(self, headers: Headers, body: bytes, waiter: Waiter[Result], peer: str = "") -> PendingPayment:
        media_type = parent = None
        signed: dict[str, str] = {}
        for name, value in headers:
            if name == b"content-type":
                media_type = value
            elif name == b"traceparent":
                parent = value.decode("latin-1")
            elif name in _SIGNED:
                signed[_SIGNED[name]] = value.decode("latin-1")
        bodies.require_json(media_type)
        bodies.require_size(body, self._settings.body_bytes_max)
        verify(self._webhooks, body, signed)
        webhook = read_webhook(body)
        if webhook is None:
            return _note(waiter)
        if isinstance(webhook, RefundWebhook):
            return self._report(webhook, waiter)
        span, context = self._traced(parent, webhook) if self._tracing.enabled else (None, "")
        sale_id, payment = to_payment(webhook, context)
        self._enqueue(sale_id, payment, waiter, span)
        return PendingPayment(webhook.data.orderId, webhook.data.paymentId, span, tracing.trace_id(context))

    def answer(self, pending: PendingPayment, result: Result) -> Answer:
        outcome, _, reason = result
        metrics.PAYMENTS.labels(reason if reason in _COUNTED_BY_REASON else outcome).inc()
        spans.end(pending.span, outcome, 200)
        return _answer(outcome, reason)

    def refuse(self, problem: Problem) -> Answer:
        if problem.code == UNCONFIRMED:
            metrics.PAYMENTS.labels(UNCONFIRMED).inc()
        return problem.answer

    def _report(self, webhook: RefundWebhook, waiter: Waiter[Result]) -> PendingPayment:
        def done(error: Exception | None) -> None:
            if error is None:
                _set_noted(waiter, REFUNDED)
            elif not waiter.done():
                waiter.set_exception(error)

        self._refund_reports.send(to_report(webhook, time.time_ns() // 1_000_000), done)
        return PendingPayment(webhook.data.orderId, webhook.data.paymentId, None, "")

    def _traced(self, parent: str | None, webhook: PaymentWebhook) -> tuple[Span | None, str]:
        if not self._tracing.samples(parent):
            return None, ""
        return spans.begin(self._tracing, _REQUEST_SPAN, parent, {"flashsale.order_id": webhook.data.orderId})


def _note(waiter: Waiter[Result]) -> PendingPayment:
    """Decide without Redis. The waiter gets its result in a later turn of the event loop, as if it waited for Redis."""
    asyncio.get_running_loop().call_soon(_set_noted, waiter, OTHER_TYPE)
    return PendingPayment("", "", None, "")


def _set_noted(waiter: Waiter[Result], reason: str) -> None:
    if not waiter.done():
        waiter.set_result(["noted", 0, reason])


# One for each pair of a result and a reason.
@lru_cache(maxsize=64)
def _answer(outcome: str, reason: str) -> Answer:
    replayed = outcome == "replayed" or reason == "replayed"
    body = msgspec.json.encode({"result": outcome, "reason": reason})
    return Answer(200, (_JSON, UNCACHED, _REPLAYED) if replayed else (_JSON, UNCACHED), body)


def verify(webhooks: Sequence[Webhook], body: bytes, headers: Mapping[str, str]) -> None:
    """Raises Problem unless `body` is signed with a secret of `webhooks` by Standard Webhooks' rules, at most five minutes ago or ahead.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md; the library compares in constant time.
    """
    for name in SIGNED:
        if not headers.get(name):
            raise Problem("bad_signature", f"The header {name} is missing", field=name)
    try:
        _verify_any(webhooks, body, dict(headers))
    except WebhookVerificationError as error:
        if "too old" in str(error) or "too new" in str(error):
            raise Problem("stale_webhook", str(error), field="webhook-timestamp") from None
        if "Invalid Signature Headers" in str(error):
            # What the library says when it cannot read the time, such as one in milliseconds.
            raise Problem("bad_signature", "The header is not a time in seconds since the Unix epoch", field="webhook-timestamp") from None
        raise Problem("bad_signature", "No signature fits this body and the shared secret", field="webhook-signature") from None
    except UnicodeDecodeError:
        raise Problem("bad_request", "The body must be valid UTF-8", field=field_of_bad_utf8(body)) from None
    except ValueError:
        raise Problem("bad_signature", "The header is not a list of v1 signatures", field="webhook-signature") from None


def _verify_any(webhooks: Sequence[Webhook], body: bytes, headers: dict[str, str]) -> None:
    """Raises what the library raises for the last secret, unless one fits."""
    *earlier, last = webhooks
    for webhook in earlier:
        with suppress(WebhookVerificationError):
            webhook.verify(body, headers, json_parse=False)
            return
    last.verify(body, headers, json_parse=False)


def to_payment(request: PaymentWebhook, traceparent: str) -> tuple[str, Payment]:
    """(sale id, payment). If the order id names no sale, the sale id is empty: the payment is recorded, and its refund is due."""
    order = parse_order_ref(request.data.orderId)
    sale_id, order_id = order if order is not None else ("", request.data.orderId)
    kind = request.type.removeprefix("payment.")
    data = request.data
    return sale_id, Payment(order_id, data.paymentId, kind, data.amountMinor, data.currency.upper(), traceparent)


def to_report(webhook: RefundWebhook, now_ms: int) -> PaymentRefunded:
    """The report for the ledger, which names the order as the payment's own message did."""
    order, data = parse_order_ref(webhook.data.orderId), webhook.data
    sale_id, order_id = order if order is not None else ("", data.orderId)
    return PaymentRefunded(
        v=1, sale=sale_id, order_id=order_id, payment_id=data.paymentId, reference=data.refundId, amount_minor=data.amountMinor,
        currency=data.currency.upper(), at=now_ms,
    )  # fmt: skip
