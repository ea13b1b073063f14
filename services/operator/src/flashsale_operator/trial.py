"""`python -m flashsale_operator.trial`: a tiny sale from FlashSale to order and back, what `helm test` runs.

Creates a FlashSale of one unit, waits until it is Ready, orders the unit, is refused a second one, gives the first back,
and deletes the FlashSale.
"""

import asyncio
import logging
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from flashsale_core.errors import FlashsaleError, Rejected
from flashsale_core.logs import configure_logging
from flashsale_core.settings import Environment
from flashsale_operator.apiserver import FlashSales, open_flash_sales
from flashsale_operator.resource import GROUP, VERSION

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
    """Raises Rejected with what was not as it should be."""
    gateway, window = env.text("FLASHSALE_URL"), env.integer("FLASHSALE_TRIAL_WINDOW_SECONDS", 60, least=1)
    name = f"trial-{secrets.token_hex(4)}"
    async with open_flash_sales(env, env.text("FLASHSALE_OPERATOR_NAMESPACE")) as flash_sales:
        spec = {"stock": 1, "paymentWindowSeconds": window}
        await flash_sales.create({"apiVersion": f"{GROUP}/{VERSION}", "kind": "FlashSale", "metadata": {"name": name}, "spec": spec})
        try:
            await _until(lambda: _ready(flash_sales, name), f"FlashSale {name} is not Ready: look at the operator's log")
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS)) as session:
                await _order_and_give_back(session, gateway, name)
        finally:
            await flash_sales.delete(name)
        await _until(lambda: _gone(flash_sales, name), f"FlashSale {name} was deleted and is not gone: look at the operator's log")


async def _order_and_give_back(session: aiohttp.ClientSession, gateway: str, name: str) -> None:
    first = await _order(session, gateway, name, "ann")
    if first.get("status") != "success":
        raise Rejected(f"an order was refused: {first}")
    log.info("trial.ordered", extra={"order_id": first["orderId"]})
    second = await _order(session, gateway, name, "bob")
    if second.get("code") != "out_of_stock":
        raise Rejected(f"a second order of the one unit was not told that it is sold out: {second}")
    async with session.delete(f"{gateway}/orders/{first['orderId']}") as answer:
        if answer.status != 200:
            raise Rejected(f"the order was not given back: {answer.status} {await answer.text()}")


async def _order(session: aiohttp.ClientSession, gateway: str, name: str, user: str) -> dict[str, Any]:
    body = {"userId": user, "productId": name, "quantity": 1, "requestId": secrets.token_hex(8)}
    async with session.post(f"{gateway}/order", json=body) as answer:
        return dict(await answer.json(content_type=None))


async def _ready(flash_sales: FlashSales, name: str) -> bool:
    found = await flash_sales.get(name) or {}
    conditions = found.get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


async def _gone(flash_sales: FlashSales, name: str) -> bool:
    return await flash_sales.get(name) is None


async def _until(condition: Callable[[], Awaitable[bool]], otherwise: str) -> None:
    ends = time.monotonic() + WAIT_SECONDS
    while not await condition():
        if time.monotonic() > ends:
            raise Rejected(otherwise)
        await asyncio.sleep(POLL_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
