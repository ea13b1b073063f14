"""Payment webhooks: signatures, timestamps, and the payment in them."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from standardwebhooks.webhooks import Webhook

from flashsale_core.scripts import Payment
from flashsale_gateway.http.body_schemas import PaymentWebhook, read_webhook
from flashsale_gateway.http.problems import Problem
from flashsale_gateway.payments import to_payment, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"type":"payment.succeeded"}'


def signed(body: bytes = BODY, age_seconds: int = 0, secret: str = SECRET) -> dict[str, str]:
    moment = datetime.now(UTC) - timedelta(seconds=age_seconds)
    signature = Webhook(secret).sign("msg_1", moment, body.decode())
    return {"webhook-id": "msg_1", "webhook-timestamp": str(int(moment.timestamp())), "webhook-signature": signature}


def refusal(body: bytes, headers: dict[str, str]) -> tuple[str, str]:
    with pytest.raises(Problem) as caught:
        verify([Webhook(SECRET)], body, headers)
    return caught.value.code, caught.value.document.get("field", "")


def test_signed_body_passes() -> None:
    verify([Webhook(SECRET)], BODY, signed())


def test_second_signature_of_a_rotation_passes() -> None:
    headers = signed()
    headers["webhook-signature"] = "v1,AAAA " + headers["webhook-signature"]
    verify([Webhook(SECRET)], BODY, headers)


@pytest.mark.parametrize("signer", [0, 1])
def test_each_secret_of_a_rotation_is_accepted(signer: int) -> None:
    secrets = (SECRET, "whsec_" + "QUFB" * 8)
    webhooks = tuple(map(Webhook, secrets))
    verify(webhooks, BODY, signed(secret=secrets[signer]))
    with pytest.raises(Problem, match="bad_signature"):
        verify(webhooks, BODY, signed(secret="whsec_" + "QkJC" * 8))


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_missing_header_is_named(name: str) -> None:
    assert refusal(BODY, signed() | {name: ""}) == ("bad_signature", name)


def test_wrong_body_wrong_secret_and_malformed_signature_are_refused() -> None:
    other = "whsec_" + "QUFB" * 8
    assert refusal(BODY + b" ", signed()) == ("bad_signature", "webhook-signature")
    assert refusal(BODY, signed(secret=other)) == ("bad_signature", "webhook-signature")
    for nonsense in ("nonsense", "v1,%%%", "v2,AAAA", ",", "v1," + "A" * 5):
        assert refusal(BODY, signed() | {"webhook-signature": nonsense}) == ("bad_signature", "webhook-signature")


@pytest.mark.parametrize("age_seconds", [400, -400])
def test_stale_timestamp_is_refused(age_seconds: int) -> None:
    assert refusal(BODY, signed(age_seconds=age_seconds)) == ("stale_webhook", "webhook-timestamp")


@pytest.mark.parametrize("timestamp", ["soon", "nan", "inf", "1e400", "-", "1800000000x", "1800000000000", "2026-05-01T12:00:00Z"])
def test_timestamp_that_is_no_time_in_seconds_is_named(timestamp: str) -> None:
    """Milliseconds too: the refusal named the signature, and whoever integrated looked at the secret."""
    assert refusal(BODY, signed() | {"webhook-timestamp": timestamp}) == ("bad_signature", "webhook-timestamp")


def test_body_that_is_not_utf8_is_refused() -> None:
    assert refusal(b"\xff", signed())[0] == "bad_request"


def webhook(order_id: str) -> bytes:
    data = {"orderId": order_id, "paymentId": "p1", "amountMinor": 5, "currency": "EUR"}
    return msgspec.json.encode({"type": "payment.failed", "timestamp": "2026-01-01T00:00:00Z", "data": data})


def test_payment_goes_to_its_sale() -> None:
    request = read_webhook(webhook("iphone.15.ABCDEFGHIJ0123456789"))
    assert isinstance(request, PaymentWebhook)
    assert to_payment(request, "") == ("iphone.15", Payment("ABCDEFGHIJ0123456789", "p1", "failed", 5, "EUR"))


def test_payment_for_no_sale_has_the_empty_sale() -> None:
    request = read_webhook(webhook("whatever/?"))
    assert isinstance(request, PaymentWebhook)
    assert to_payment(request, "") == ("", Payment("whatever/?", "p1", "failed", 5, "EUR"))
