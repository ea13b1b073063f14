"""A sale for the pictures: a rush at the start, buyers who pay, cancel, forget to pay or pay late, and more stock after a minute."""

import asyncio
import math
import random
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import uuid4

import aiohttp

from flashsale_cli import sales_client
from flashsale_cli.demo.scenario import perform
from flashsale_cli.demo.winners import Action, action_of
from flashsale_cli.http_client import open_session
from flashsale_cli.load.plan import Crowd, plan
from flashsale_cli.load.run import Target, run
from flashsale_cli.load.tally import Accepted, Tally
from flashsale_cli.payments import Provider
from flashsale_core.errors import Retryable

SECONDS = 110
START_SECOND = 8
MORE_STOCK_SECOND = 62
STOCK, MORE_STOCK = 2_500, 4_000
WINDOW_SECONDS = 15
PAY_SECONDS = 4.0
"""How long a buyer takes to pay, on average."""
MAX_PER_USER = 2
RATE_LIMIT = {"requests": 2, "seconds": 10}
REPLAYS, OVER_LIMIT, RUBBISH = 0.05, 0.05, 0.02
CONNECTIONS = 200
REQUEST_TIMEOUT_SECONDS = 30.0
SEED = 7


@dataclass(frozen=True, slots=True)
class Shop:
    url: str
    admin_token: str
    provider: Provider


def buyers_at(second: int) -> int:
    """Buyers that arrive in this second: a few before the sale starts, a rush that fades, and a second rush when stock is added."""
    rushes = ((START_SECOND, 450, 12.0), (MORE_STOCK_SECOND, 140, 25.0))
    return 20 + sum(round(peak * math.exp((start - second) / fade)) for start, peak, fade in rushes if second >= start)


async def sell(shop: Shop, product_id: str) -> None:
    """Sell for SECONDS, from the announcement of the sale on."""
    async with open_session(REQUEST_TIMEOUT_SECONDS) as session:
        await _Sale(shop, product_id, session).run()


class _Sale:
    def __init__(self, shop: Shop, product_id: str, session: aiohttp.ClientSession) -> None:
        self._shop = shop
        self._product_id = product_id
        self._session = session
        self._winners: asyncio.TaskGroup
        self._numbers = count()
        self._chance = random.Random(SEED)  # noqa: S311 - a repeatable crowd, no secret

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        await self._set(STOCK)
        started = loop.time()
        async with asyncio.TaskGroup() as self._winners, asyncio.TaskGroup() as crowds:
            for second in range(SECONDS):
                crowds.create_task(self._come(buyers_at(second)))
                if second == MORE_STOCK_SECOND:
                    crowds.create_task(self._set(STOCK + MORE_STOCK))
                await asyncio.sleep(max(0.0, started + second + 1 - loop.time()))

    async def _set(self, stock: int) -> None:
        wanted = {
            "productId": self._product_id,
            "stock": stock,
            "maxPerUser": MAX_PER_USER,
            "paymentWindowSeconds": WINDOW_SECONDS,
            "rateLimit": RATE_LIMIT,
            "latePayment": "refund",
        }
        if stock == STOCK:
            wanted["startsAt"] = (datetime.now(UTC) + timedelta(seconds=START_SECOND)).isoformat()
        await sales_client.set_sale(self._session, self._shop.url, self._shop.admin_token, wanted)

    async def _come(self, buyers: int) -> None:
        crowd = Crowd(
            product_id=self._product_id,
            buyers=buyers,
            prefix=uuid4().hex[:12],
            replays=REPLAYS,
            over_limit=OVER_LIMIT,
            rubbish=RUBBISH,
            seed=SEED,
        )
        clicks = plan(crowd)
        await run(clicks, Target(self._shop.url, CONNECTIONS), Tally(len(clicks)), self._win)

    def _win(self, order: Accepted) -> None:
        self._winners.create_task(self._play(order, action_of(next(self._numbers), SEED)))

    async def _play(self, order: Accepted, action: Action) -> None:
        look_seconds = min(self._chance.expovariate(1 / PAY_SECONDS), WINDOW_SECONDS - 2)
        await asyncio.sleep(WINDOW_SECONDS + 1 if action is Action.LATE else look_seconds)
        with suppress(Retryable):
            await perform(action, order, self._session, self._shop.provider)
