"""The signatures, checked by the library that Standard Webhooks publishes, and by vectors that other languages can use."""

import base64
import time
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from flashsale_core.credentials import webhook_secret
from flashsale_notifier.signing import signed_headers

OLD, NEW = ("whsec_" + base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
BODY = '{"type":"order.paid","timestamp":"2026-05-01T12:00:00.000Z","data":{"orderId":"shoe.o1","userId":"zoë"}}'.encode()
# docs/events.md has the same vector, for receivers in other languages.
VECTOR = ("evt_00112233445566778899aabbccddeeff", 1_777_636_800, "v1,0I2C/NPA7nPDReiUQOka0XVebf7jJdKGj0g6Dhi7IPE=")


def headers(*secrets: str, at_seconds: int | None = None) -> dict[str, str]:
    return dict(signed_headers("evt_1", int(time.time()) if at_seconds is None else at_seconds, BODY, secrets))


def test_published_library_verifies_the_signature() -> None:
    assert webhook_secret(NEW) == NEW
    assert Webhook(NEW).verify(BODY, headers(NEW))["data"] == {"orderId": "shoe.o1", "userId": "zoë"}


def test_receivers_with_either_secret_verify_during_a_rotation() -> None:
    for secret in (OLD, NEW):
        Webhook(secret).verify(BODY, headers(NEW, OLD))


def test_other_bytes_ids_times_and_secrets_are_refused() -> None:
    signed = headers(NEW)
    for secret, body, its_headers in (
        (OLD, BODY, signed),
        (NEW, BODY + b" ", signed),
        (NEW, BODY, signed | {"webhook-id": "evt_2"}),
        (NEW, BODY, headers(NEW, at_seconds=int(time.time()) - 600)),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, its_headers)


def test_vector_for_other_languages_holds() -> None:
    key, at_seconds, signature = VECTOR
    assert Webhook(NEW).sign(key, datetime.fromtimestamp(at_seconds, UTC), BODY.decode()) == signature
    assert signed_headers(key, at_seconds, BODY, [NEW])["webhook-signature"] == signature
