"""A crowd that keeps a sale moving: it orders at full speed, pays some orders, cancels some, and lets the others expire."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from aiohttp import ClientSession
from standardwebhooks.webhooks import Webhook

from flashsale_cli.http_client import open_session, send_request
from flashsale_cli.payments import Payment, Provider, new_payment_id
from flashsale_core.errors import Retryable

BUYERS_PER_LANE = 25
QUANTITY_MAX = 3
SHARE_PAID, SHARE_CANCELLED = 0.3, 0.3
SHARE_LATE = 0.1
"""The share of orders that are paid after they expired, so that a refund is due or the units are sold after all."""
LATE_SECONDS = 1.5
TIMEOUT_SECONDS = 30.0


@dataclass
class MovingCrowd:
    """Each lane has some buyers of its own, so that a buyer has several orders, in all states."""

    url: str
    sale_ids: Sequence[str]
    """Each order is for one of them."""
    webhook_secret: str
    window_seconds: int
    lanes: int = 32
    outcomes: Counter[str] = field(default_factory=Counter)
    stopping: bool = False

    async def run(self) -> None:
        """Order until `stopping` is set."""
        provider = Provider(self.url, Webhook(self.webhook_secret))
        async with open_session(TIMEOUT_SECONDS) as session, asyncio.TaskGroup() as late:
            await asyncio.gather(*[self._buy(session, provider, late) for _ in range(self.lanes)])

    async def _buy(self, session: ClientSession, provider: Provider, late: asyncio.TaskGroup) -> None:
        buyers = [f"b-{uuid4().hex[:16]}" for _ in range(BUYERS_PER_LANE)]
        while not self.stopping:
            order_id = await self._order(session, random.choice(buyers))  # noqa: S311 - not for secrets
            if order_id is None:
                continue
            share = random.random()  # noqa: S311
            if share < SHARE_PAID:
                await self._pay(session, provider, order_id)
            elif share < SHARE_PAID + SHARE_CANCELLED:
                await self._send(session, "DELETE", f"/orders/{order_id}", None)
            elif share > 1 - SHARE_LATE:
                late.create_task(self._pay_late(session, provider, order_id))

    async def _order(self, session: ClientSession, buyer: str) -> str | None:
        document = {
            "userId": buyer,
            "productId": random.choice(self.sale_ids),  # noqa: S311
            "quantity": random.randint(1, QUANTITY_MAX),  # noqa: S311
            "requestId": uuid4().hex,
        }
        answer = await self._send(session, "POST", "/order", json.dumps(document).encode())
        return answer.get("orderId") if answer.get("status") == "success" else None

    async def _pay(self, session: ClientSession, provider: Provider, order_id: str) -> None:
        self.outcomes[await provider.send(session, Payment(order_id, new_payment_id()))] += 1

    async def _pay_late(self, session: ClientSession, provider: Provider, order_id: str) -> None:
        await asyncio.sleep(self.window_seconds + LATE_SECONDS)
        await self._pay(session, provider, order_id)

    async def _send(self, session: ClientSession, method: str, path: str, body: bytes | None) -> dict[str, str]:
        try:
            answer = await send_request(session, method, f"{self.url}{path}", body, {"Content-Type": "application/json"})
        except Retryable:
            self.outcomes["no answer"] += 1
            return {}
        document = answer.document if isinstance(answer.document, dict) else {}
        self.outcomes[f"{method} {answer.code or answer.status}"] += 1
        return document
