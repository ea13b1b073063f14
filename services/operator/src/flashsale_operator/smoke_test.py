"""`python -m flashsale_operator.smoke_test`: a sale of one unit from FlashSale to payment. `helm test` runs it.

It checks the gateway's probes, creates a FlashSale of one unit and waits until it is Ready. It orders the unit, checks that a second order
is refused, and cancels the first. Then it orders the unit again, pays it as the payment provider would, and deletes the FlashSale.
Where buyers prove themselves by a JWT or through a proxy only, it cannot order and leaves that out.
"""

import asyncio
import json
import logging
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp

from flashsale_core import credentials
from flashsale_core.errors import FlashsaleError, Rejected
from flashsale_core.logs import configure_logging
from flashsale_core.settings import Environment
from flashsale_core.webhook_signature import webhook_signature
from flashsale_operator.apiserver import FlashSales, open_flash_sales
from flashsale_operator.engine import ENGINE_DEFAULT
from flashsale_operator.resource import GROUP, VERSION
from flashsale_operator.smoke_proof import Proof, proof_of

WAIT_SECONDS = 30.0
POLL_SECONDS = 0.2
REQUEST_TIMEOUT_SECONDS = 10.0
log = logging.getLogger(__name__)


def main() -> int:
    configure_logging("INFO")
    try:
        asyncio.run(run(Environment()))
    except (FlashsaleError, aiohttp.ClientError, TimeoutError, OSError) as error:
        log.error("trial.failed", extra={"reason": str(error) or type(error).__name__})
        return 1
    log.info("trial.passed")
    return 0


async def run(env: Environment) -> None:
    """Raises Rejected with a message about the step that failed."""
    gateway, window = env.text("FLASHSALE_URL"), env.integer("FLASHSALE_TRIAL_WINDOW_SECONDS", 60, least=1)
    webhook_secret = credentials.webhook_secrets(env.text("FLASHSALE_WEBHOOK_SECRET"))[0]
    name, proof = f"trial-{secrets.token_hex(4)}", proof_of(env)
    async with open_flash_sales(env, env.text("FLASHSALE_OPERATOR_NAMESPACE")) as flash_sales:
        product = env.optional("FLASHSALE_TRIAL_PREFIX") + name
        spec = {
            "stock": 1,
            "productId": product,
            "paymentWindowSeconds": window,
            "engine": env.text("FLASHSALE_OPERATOR_ENGINE", ENGINE_DEFAULT),
        }
        await flash_sales.create({"apiVersion": f"{GROUP}/{VERSION}", "kind": "FlashSale", "metadata": {"name": name}, "spec": spec})
        try:
            await _wait_until(lambda: _ready(flash_sales, name), f"FlashSale {name} is not Ready: read the operator's log")
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS)) as session:
                await _check_probes(session, gateway)
                if proof is None:
                    log.warning("trial.not_ordered", extra={"reason": "no service key or buyer token proves who buys here"})
                else:
                    await _order_and_cancel(session, gateway, product, proof)
                    await _order_and_pay(session, gateway, product, webhook_secret, proof)
        finally:
            await flash_sales.delete(name)
        await _wait_until(lambda: _gone(flash_sales, name), f"FlashSale {name} was deleted but still exists: read the operator's log")


async def _check_probes(session: aiohttp.ClientSession, gateway: str) -> None:
    for path in ("/healthz", "/readyz"):
        async with session.get(f"{gateway}{path}") as answer:
            if answer.status != 200:
                raise Rejected(f"the gateway's {path} answered {answer.status}: {await answer.text()}")


async def _order_and_cancel(session: aiohttp.ClientSession, gateway: str, product: str, proof: Proof) -> None:
    first = await _order(session, gateway, product, "ann", proof)
    if first.get("status") != "success":
        raise Rejected(f"an order was refused: {first}")
    log.info("trial.ordered", extra={"order_id": first["orderId"]})
    second = await _order(session, gateway, product, "bob", proof)
    if second.get("code") != "out_of_stock":
        raise Rejected(f"a second order of the only unit was not refused as sold out: {second}")
    async with session.delete(f"{gateway}/orders/{first['orderId']}", headers=proof("ann")) as answer:
        if answer.status != 200:
            raise Rejected(f"the order could not be cancelled: {answer.status} {await answer.text()}")


async def _order_and_pay(session: aiohttp.ClientSession, gateway: str, product: str, webhook_secret: str, proof: Proof) -> None:
    order = await _order(session, gateway, product, "cem", proof)
    if order.get("status") != "success":
        raise Rejected(f"the unit of the cancelled order could not be ordered again: {order}")
    body, headers = signed(webhook_secret, f"trial-{secrets.token_hex(8)}", order["orderId"], datetime.now(UTC))
    async with session.post(f"{gateway}/payments/webhook", data=body, headers=headers) as answer:
        if answer.status != 200:
            raise Rejected(f"the payment was refused: {answer.status} {await answer.text()}")
    async with session.get(f"{gateway}/orders/{order['orderId']}", headers=proof("cem")) as answer:
        document = dict(await answer.json(content_type=None))
    if document.get("state") != "paid":
        raise Rejected(f"the order was paid, but its state is not `paid`: {document}")
    log.info("trial.paid", extra={"order_id": order["orderId"]})


def signed(webhook_secret: str, payment_id: str, order_id: str, now: datetime) -> tuple[bytes, dict[str, str]]:
    """Body and headers of the provider's webhook, signed by Standard Webhooks. This image does not contain their library."""
    data = {"orderId": order_id, "paymentId": payment_id, "amountMinor": 100, "currency": "EUR"}
    body = json.dumps({"type": "payment.succeeded", "timestamp": now.isoformat(), "data": data}).encode()
    seconds = int(now.timestamp())
    return body, {
        "Content-Type": "application/json",
        "webhook-id": payment_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": webhook_signature(webhook_secret, payment_id, seconds, body),
    }


async def _order(session: aiohttp.ClientSession, gateway: str, product: str, user: str, proof: Proof) -> dict[str, Any]:
    body = {"userId": user, "productId": product, "quantity": 1, "requestId": secrets.token_hex(8)}
    async with session.post(f"{gateway}/order", json=body, headers=proof(user)) as answer:
        return dict(await answer.json(content_type=None))


async def _ready(flash_sales: FlashSales, name: str) -> bool:
    resource = await flash_sales.get(name) or {}
    conditions = resource.get("status", {}).get("conditions", ())
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


async def _gone(flash_sales: FlashSales, name: str) -> bool:
    return await flash_sales.get(name) is None


async def _wait_until(condition: Callable[[], Awaitable[bool]], failure: str) -> None:
    """Raises Rejected with `failure` after WAIT_SECONDS."""
    ends = time.monotonic() + WAIT_SECONDS
    while not await condition():
        if time.monotonic() > ends:
            raise Rejected(failure)
        await asyncio.sleep(POLL_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
