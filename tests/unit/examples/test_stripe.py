"""The example shop's Stripe: what it asks of Stripe's API, and which of Stripe's events it trusts."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import pytest

from examples.shop.providers import PaymentError, Stripe, authorised_by_stripe
from examples.shop.settings import read_settings
from examples.shop.store import Order
from flashsale_client import Answer

SECRET, NOW = "whsec_stripe", 1_800_000_000
ORDER = Order("shoe.1", "ann", 2, 9800, "EUR", payment_id="pi_1", payment="authorised")
ENGINE = {"FLASHSALE_URL": "http://engine", "FLASHSALE_WEBHOOK_SECRET": "whsec_x"}
SETTINGS = read_settings(ENGINE | {"SHOP_STRIPE_KEY": "sk_1", "SHOP_STRIPE_WEBHOOK_SECRET": SECRET, "SHOP_STRIPE_URL": "http://stripe"})
EVENT = {"type": "payment_intent.amount_capturable_updated", "data": {"object": {"id": "pi_1", "metadata": {"orderId": "shoe.1"}}}}


class Api:
    """Stripe's API, which gives one answer and remembers the request."""

    def __init__(self, status: int, document: Any) -> None:
        self.answer = Answer(status, {}, json.dumps(document).encode())
        self.request: tuple[str, str, str] = ("", "", "")
        self.fields: dict[str, str] = {}

    def __call__(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, seconds: float) -> Answer:
        self.request = (f"{method} {url}", headers["authorization"], headers["idempotency-key"])
        self.fields = dict(parse_qsl((body or b"").decode()))
        return self.answer


def signed(body: bytes, secret: str = SECRET, moment: int = NOW) -> str:
    mac = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={'0' * 64},v1={mac}"


def test_payment_begins_with_manual_capture_and_names_its_order() -> None:
    api = Api(200, {"url": "https://checkout.stripe.com/c/1"})
    assert Stripe(SETTINGS, api).begin(ORDER) == ("", "https://checkout.stripe.com/c/1")
    assert api.request == ("POST http://stripe/v1/checkout/sessions", "Bearer sk_1", "begin-shoe.1-pi_1")
    assert api.fields["payment_intent_data[capture_method]"] == "manual"
    assert (api.fields["payment_intent_data[metadata][orderId]"], api.fields["line_items[0][price_data][unit_amount]"]) == (
        "shoe.1",
        "9800",
    )


def test_authorised_money_is_captured_or_its_authorisation_cancelled() -> None:
    captures, cancels = Api(200, {"status": "succeeded"}), Api(200, {"status": "canceled"})
    Stripe(SETTINGS, captures).capture(ORDER)
    Stripe(SETTINGS, cancels).release(ORDER)
    assert captures.request[::2] == ("POST http://stripe/v1/payment_intents/pi_1/capture", "capture-pi_1")
    assert cancels.request[::2] == ("POST http://stripe/v1/payment_intents/pi_1/cancel", "cancel-pi_1")


def test_captured_money_is_refunded() -> None:
    api = Api(200, {"status": "succeeded"})
    Stripe(SETTINGS, api).release(ORDER._replace(payment="captured"))
    assert (api.request[0], api.fields) == ("POST http://stripe/v1/refunds", {"payment_intent": "pi_1"})


def test_what_was_done_before_is_done() -> None:
    before = {"error": {"code": "payment_intent_unexpected_state", "payment_intent": {"status": "succeeded"}}}
    Stripe(SETTINGS, Api(400, before)).capture(ORDER)
    Stripe(SETTINGS, Api(400, {"error": {"code": "charge_already_refunded"}})).release(ORDER._replace(payment="captured"))


@pytest.mark.parametrize(
    ("status", "document"),
    [
        (402, {"error": {"code": "card_declined"}}),
        (500, "<html>"),
        (400, {"error": {"code": "payment_intent_unexpected_state", "payment_intent": {"status": "canceled"}}}),
    ],
)
def test_what_stripe_did_not_do_is_an_error(status: int, document: Any) -> None:
    with pytest.raises(PaymentError):
        Stripe(SETTINGS, Api(status, document)).capture(ORDER)


def test_signed_event_about_an_authorised_payment_is_trusted() -> None:
    body = json.dumps(EVENT).encode()
    assert authorised_by_stripe(body, signed(body), SECRET, NOW + 299) == ("shoe.1", "pi_1")


@pytest.mark.parametrize("change", [{"type": "charge.succeeded"}, {"data": {"object": {"id": "pi_2", "metadata": {}}}}])
def test_signed_event_about_something_else_is_ignored(change: dict[str, Any]) -> None:
    body = json.dumps(EVENT | change).encode()
    assert authorised_by_stripe(body, signed(body), SECRET, NOW) is None


@pytest.mark.parametrize("signature", ["", "t=1", f"t={NOW},v1=", f"t={NOW},v1=ü", "v1", signed(b"{}"), signed(b"", "whsec_other")])
def test_event_with_a_wrong_signature_is_refused(signature: str) -> None:
    with pytest.raises(ValueError, match="no signature fits"):
        authorised_by_stripe(json.dumps(EVENT).encode(), signature, SECRET, NOW)


@pytest.mark.parametrize(
    ("given", "missing"),
    [("SHOP_STRIPE_KEY", "SHOP_STRIPE_WEBHOOK_SECRET"), ("SHOP_STRIPE_WEBHOOK_SECRET", "SHOP_STRIPE_KEY")],
)
@pytest.mark.parametrize("empty", [{}, {"SHOP_STRIPE_KEY": " ", "SHOP_STRIPE_WEBHOOK_SECRET": " "}])
def test_one_stripe_secret_without_the_other_is_refused(given: str, missing: str, empty: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=f"^{given} is set without {missing}: set it to"):
        read_settings(ENGINE | empty | {given: "x"})


def test_shop_without_stripe_trusts_no_event() -> None:
    body = json.dumps(EVENT).encode()
    with pytest.raises(ValueError, match="no signature fits"):
        authorised_by_stripe(body, signed(body, secret=""), read_settings(ENGINE).stripe_webhook_secret, NOW)


def test_old_event_is_refused() -> None:
    body = json.dumps(EVENT).encode()
    with pytest.raises(ValueError, match="too old"):
        authorised_by_stripe(body, signed(body), SECRET, NOW + 301)
