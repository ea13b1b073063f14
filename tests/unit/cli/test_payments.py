import json
from datetime import UTC, datetime

from standardwebhooks.webhooks import Webhook

from flashsale_cli.payments import Payment, new_payment_id, signed

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_webhook_is_signed_by_the_standard() -> None:
    now = datetime.now(UTC)
    body, headers = signed(Webhook(SECRET), Payment("tele.a", "pay-1", "succeeded", 1200, "EUR"), now)
    read = Webhook(SECRET).verify(body, headers)
    assert read == {
        "type": "payment.succeeded",
        "timestamp": now.isoformat(),
        "data": {"orderId": "tele.a", "paymentId": "pay-1", "amountMinor": 1200, "currency": "EUR"},
    }


def test_repeated_attempt_keeps_its_id_and_has_a_new_time() -> None:
    payment = Payment("tele.a", "pay-1")
    first = signed(Webhook(SECRET), payment, datetime(2026, 1, 1, tzinfo=UTC))
    second = signed(Webhook(SECRET), payment, datetime(2026, 1, 2, tzinfo=UTC))
    assert first[1]["webhook-id"] == second[1]["webhook-id"]
    assert first[1]["webhook-timestamp"] != second[1]["webhook-timestamp"]


def test_failed_payment_has_its_own_message_type() -> None:
    failed, _ = signed(Webhook(SECRET), Payment("tele.a", "pay-1", "failed"), datetime.now(UTC))
    assert json.loads(failed)["type"] == "payment.failed"


def test_payment_ids_are_unique() -> None:
    assert new_payment_id() != new_payment_id()
