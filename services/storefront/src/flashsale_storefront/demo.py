"""The simulated payment of a demo: what a shop reports after its provider has taken the money.

Whoever asks gets the order paid, so settings.py refuses it unless the storefront listens on a loopback address.
"""

import asyncio
import secrets
import time
import urllib.error
import urllib.request
from typing import Any

import msgspec

from flashsale_core.ids import parse_order_ref
from flashsale_core.timestamps import rfc3339_of_ms
from flashsale_core.webhook_signature import webhook_signature
from flashsale_storefront.answers import JSON, Answer
from flashsale_storefront.problems import Problem
from flashsale_storefront.settings import Demo

BODY_BYTES_MAX = 1024
TIMEOUT_SECONDS = 10.0
RUNNING_MAX = 16
FREE_SALE: dict[str, Any] = {"amountMinor": 100, "currency": "EUR"}
"""What a payment in a sale without a price says."""


class _Wish(msgspec.Struct, forbid_unknown_fields=True):
    orderId: str  # noqa: N815 - the API's name
    quantity: int = 1


class DemoPayments:
    def __init__(self, demo: Demo) -> None:
        self._demo = demo
        self._slots = asyncio.Semaphore(RUNNING_MAX)

    async def pay(self, body: bytes, price: dict[str, Any] | None) -> Answer:
        """Report a payment of `price` for each unit. Raises Problem."""
        wish = _read(body)
        amount = price or FREE_SALE
        payment = {
            "orderId": wish.orderId,
            # The same for a repetition, as a shop's own payment is.
            "paymentId": f"demo-{wish.orderId}",
            "amountMinor": amount["amountMinor"] * wish.quantity,
            "currency": amount["currency"],
        }
        async with self._slots:
            return Answer(200, (JSON, (b"cache-control", b"no-store")), await asyncio.to_thread(self._report, payment))

    def _report(self, payment: dict[str, Any]) -> bytes:
        now = time.time()
        document = {"type": "payment.succeeded", "timestamp": rfc3339_of_ms(int(now * 1000)), "data": payment}
        body, name = msgspec.json.encode(document), f"msg_{secrets.token_hex(8)}"
        headers = {
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(int(now)),
            "webhook-signature": webhook_signature(self._demo.webhook_secret, name, int(now), body),
        }
        request = urllib.request.Request(f"{self._demo.gateway_url}/payments/webhook", body, headers)  # noqa: S310 - settings allow http(s) only
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise Problem("payment_refused", f"It answered {error.code}") from error
        except OSError as error:
            raise Problem("payment_refused", "It did not answer") from error


def sale_of(body: bytes) -> str:
    """The sale of the order that is to be paid. Raises Problem."""
    order = parse_order_ref(_read(body).orderId)
    if order is None:
        raise Problem("bad_request", "Name an order, such as shoe.0PcK2mFrPPxqlhBzE-gY", field="orderId")
    return order.sale_id


def _read(body: bytes) -> _Wish:
    try:
        return msgspec.json.decode(body, type=_Wish)
    except msgspec.MsgspecError as error:
        raise Problem("bad_request", str(error)) from None
