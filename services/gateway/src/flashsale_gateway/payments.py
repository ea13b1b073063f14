"""Payment webhooks: signature, body, and the payment they bring to a sale."""

from collections.abc import Mapping

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from flashsale_core.ids import parse_order_ref
from flashsale_gateway.problems import Problem
from flashsale_gateway.requests import PaymentWebhook, field_of_bad_utf8
from flashsale_gateway.store import Payment

HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


def verify(webhook: Webhook, body: bytes, headers: Mapping[str, str]) -> None:
    """Raises Problem unless `body` is signed as Standard Webhooks says and its timestamp is at most five minutes off.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md; the library compares in constant time.
    """
    for name in HEADERS:
        if not headers.get(name):
            raise Problem("bad_signature", f"The header {name} is missing", field=name)
    try:
        webhook.verify(body, dict(headers), json_parse=False)
    except WebhookVerificationError as error:
        if "too old" in str(error) or "too new" in str(error):
            raise Problem("stale_webhook", str(error), field="webhook-timestamp") from None
        raise Problem("bad_signature", "No signature of this body by the shared secret", field="webhook-signature") from None
    except UnicodeDecodeError:
        raise Problem("bad_request", "The body must be valid UTF-8", field=field_of_bad_utf8(body)) from None
    except ValueError:
        raise Problem("bad_signature", "The header is no list of v1 signatures", field="webhook-signature") from None


def to_payment(request: PaymentWebhook, traceparent: str) -> tuple[str, Payment]:
    """The sale and the payment. An order id that names no sale is settled under the empty sale: recorded, and due for a refund."""
    order = parse_order_ref(request.data.orderId)
    sale_id, order_id = order if order is not None else ("", request.data.orderId)
    kind = request.type.removeprefix("payment.")
    data = request.data
    return sale_id, (order_id, data.paymentId, kind, data.amountMinor, data.currency, traceparent)
