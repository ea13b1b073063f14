"""The webhook that `helm test` sends as the payment provider."""

from datetime import UTC, datetime

import msgspec
from standardwebhooks.webhooks import Webhook

from flashsale_gateway.http.body_schemas import PaymentWebhook
from flashsale_gateway.payments import verify
from flashsale_operator.smoke_test import signed

SECRET = "whsec_" + "c2VjcmV0" * 4


def test_gateway_accepts_the_payment_of_the_smoke_test() -> None:
    body, headers = signed(SECRET, "trial-1", "lastcall.abc", datetime.now(UTC))
    verify([Webhook(SECRET)], body, headers)
    payment = msgspec.json.decode(body, type=PaymentWebhook)
    assert (payment.type, payment.data.orderId, payment.data.paymentId) == ("payment.succeeded", "lastcall.abc", "trial-1")
