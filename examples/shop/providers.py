"""Payment providers: a simulated one, and Stripe. Both authorise first; the shop captures only what the engine calls paid."""

import hashlib
import hmac
import json
import secrets
from time import time
from typing import Protocol
from urllib.parse import urlencode

from examples.shop.settings import Settings
from examples.shop.store import Order
from flashsale_client import Json, Send, send

SECONDS = 20.0
TOLERANCE_SECONDS = 300


class PaymentError(Exception):
    """The provider did not do it; the shop tries again later."""


class Provider(Protocol):
    def begin(self, order: Order) -> tuple[str, str]:
        """Begin a payment: (payment id if it is authorised already, or empty; where to send the browser). Raises PaymentError."""

    def capture(self, order: Order) -> None:
        """Take the authorised money. Doing it twice is harmless. Raises PaymentError."""

    def release(self, order: Order) -> None:
        """Cancel the authorisation, or send captured money back. Doing it twice is harmless. Raises PaymentError."""


class SimulatedProvider:
    """Authorises every payment at once."""

    def begin(self, order: Order) -> tuple[str, str]:
        return f"sim_{secrets.token_hex(12)}", f"/o/{order.order_id}"

    def capture(self, order: Order) -> None:
        pass

    def release(self, order: Order) -> None:
        pass


class Stripe:
    """Stripe's Checkout with a PaymentIntent whose capture_method is manual. Stripe's page takes the card, not the shop's."""

    def __init__(self, settings: Settings, http: Send = send) -> None:
        self._settings = settings
        self._http = http

    def begin(self, order: Order) -> tuple[str, str]:
        back = f"{self._settings.public_url}/o/{order.order_id}"
        session = self._call("checkout/sessions", f"begin-{order.order_id}-{order.payment_id}", {
            "mode": "payment",
            "success_url": back,
            "cancel_url": back,
            "line_items[0][quantity]": 1,
            "line_items[0][price_data][currency]": order.currency.lower(),
            "line_items[0][price_data][unit_amount]": order.amount_minor,
            "line_items[0][price_data][product_data][name]": self._settings.product,
            "payment_intent_data[capture_method]": "manual",
            "payment_intent_data[metadata][orderId]": order.order_id,
        })  # fmt: skip
        return "", str(session["url"])

    def capture(self, order: Order) -> None:
        self._move(order, "capture", "succeeded")

    def release(self, order: Order) -> None:
        if order.payment == "captured":
            self._call("refunds", f"refund-{order.payment_id}", {"payment_intent": order.payment_id})
        else:
            self._move(order, "cancel", "canceled")

    def _move(self, order: Order, action: str, reached: str) -> None:
        intent = self._call(f"payment_intents/{order.payment_id}/{action}", f"{action}-{order.payment_id}", {})
        if intent["status"] != reached:
            raise PaymentError(f"payment {order.payment_id} is {intent['status']} after {action}")

    def _call(self, path: str, key: str, fields: dict[str, str | int]) -> Json:
        headers = {
            "authorization": f"Bearer {self._settings.stripe_key}",
            "content-type": "application/x-www-form-urlencoded",
            "idempotency-key": key,
        }
        try:
            answer = self._http("POST", f"{self._settings.stripe_url}/v1/{path}", headers, urlencode(fields).encode(), SECONDS)
        except OSError as error:
            raise PaymentError(f"{path}: no answer from Stripe") from error
        document = answer.json() or {}
        if answer.status != 200:
            # What was done before is an error: its code says so, or it contains the payment as it is.
            problem = document.get("error", {})
            if "payment_intent" not in problem and problem.get("code") != "charge_already_refunded":
                raise PaymentError(f"{path}: Stripe answers {answer.status}")
            return dict(problem.get("payment_intent", {}))
        return document


def authorised_by_stripe(body: bytes, signature: str, secret: str, now: float | None = None) -> tuple[str, str] | None:
    """(order id, payment id) of a signed event about an authorised payment; None for other events. Raises ValueError: nobody signed it.

    https://docs.stripe.com/webhooks#verify-manually
    """
    parts = [part.partition("=")[::2] for part in signature.split(",")]
    moment = next((value for name, value in parts if name == "t"), "")
    expected = hmac.new(secret.encode(), moment.encode() + b"." + body, hashlib.sha256).hexdigest()
    # Anybody can sign with an empty secret: a shop without Stripe trusts no event.
    if not secret or not any(name == "v1" and hmac.compare_digest(value.encode(), expected.encode()) for name, value in parts):
        raise ValueError("no signature fits")
    if abs((time() if now is None else now) - int(moment)) > TOLERANCE_SECONDS:
        raise ValueError("the event is too old")
    event = json.loads(body)
    if event["type"] != "payment_intent.amount_capturable_updated":
        return None
    intent = event["data"]["object"]
    # An account may have other payments than the shop's; an error would have Stripe repeat their events for days.
    order_id = (intent.get("metadata") or {}).get("orderId")
    return (order_id, intent["id"]) if order_id else None
