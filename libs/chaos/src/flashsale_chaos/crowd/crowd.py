"""Runs the crowd on two sales at a time, which are replaced after some rounds so that what must be remembered stays small."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from random import Random

import aiohttp

from flashsale_chaos.crowd.buyers import Buyers
from flashsale_chaos.crowd.impostors import Impostors
from flashsale_chaos.crowd.merchant import Merchant
from flashsale_chaos.crowd.patience import Patience
from flashsale_chaos.crowd.proofs import Proofs
from flashsale_chaos.crowd.shop import Shop
from flashsale_chaos.crowd.webhooks import Signer
from flashsale_chaos.history import History
from flashsale_chaos.overload import overload
from flashsale_chaos.sales import Sale, new_pair
from flashsale_core.errors import Retryable

BUYERS = 24
REQUEST_SECONDS = 3.0
GIVE_UP_SECONDS = 20.0
"""How long after the beginning of a pause requests are repeated, on a machine that keeps up."""
ROUNDS_PER_PAIR = 2


class Crowd:
    def __init__(self, gateways: Sequence[str], env: Mapping[str, str], history: History, seed: int, buyers: int = BUYERS) -> None:
        """`gateways` are base URLs; `env` has the variables of the stack. Call it in a running event loop."""
        self._rng, self._buyers_count, self.history = Random(seed), buyers, history  # noqa: S311 - a schedule, no secret
        self.sales: list[Sale] = []
        """The sales that buyers order from."""
        self._pairs = self._rounds = 0
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS), connector=aiohttp.TCPConnector(limit=0))
        self._patience = Patience(history, self._rng)
        shop = Shop(self._session, gateways, Signer(env["FLASHSALE_WEBHOOK_SECRET"]), env["FLASHSALE_ADMIN_TOKEN"], history, self._rng)
        proofs = Proofs(env["FLASHSALE_BUYER_TOKEN_KEY"].encode(), time.time())
        self._buyers = Buyers(shop, self._patience, proofs, env["FLASHSALE_ORDER_ID_KEY"].encode(), self._rng)
        self._impostors = Impostors(shop, self._patience, proofs, lambda: history.latest, self._rng)
        self._merchant = Merchant(shop, self._patience, history.sold_out, self._rng)
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.resume()

    async def resume(self) -> None:
        """Begin a round, with new sales if the present ones have had theirs. Call it after the round before was judged."""
        if not self.sales or self._rounds % ROUNDS_PER_PAIR == 0 or self.history.is_full:
            await self._change_sales()
        self._rounds += 1
        self._patience.renew()
        self._running = asyncio.create_task(self._run())

    async def pause(self) -> None:
        """Begin nothing new; return when each request has its final answer or was repeated for GIVE_UP_SECONDS."""
        self._patience.end_in(GIVE_UP_SECONDS * overload())
        if self._running is not None:
            await self._running
        self._running = None

    async def stop(self) -> None:
        """End at once. Requests that are open stay without an answer."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await self._session.close()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._merchant.add_units(self.sales))
            tasks.create_task(self._impostors.pose(self.sales, self._may_begin))
            for number in range(self._buyers_count):
                # Each buys from one sale: orders that wait for the broker must not keep the other sale from selling.
                tasks.create_task(self._buyers.buy([self.sales[number % len(self.sales)]], tasks, self._may_begin))

    def _may_begin(self) -> bool:
        return not self._patience.pausing.is_set() and not self.history.is_full

    async def _change_sales(self) -> None:
        """Replace the sales. If the new ones cannot be created, the present ones stay. Raises Retryable if there are none."""
        self._patience.end_in(GIVE_UP_SECONDS)
        await self._merchant.remove_ended()
        self._pairs += 1
        pair = new_pair(self._rng, self._pairs)
        if await self._merchant.open(pair):
            self._merchant.end(self.sales)
            self.history.forget({sale.sale_id for sale in self.sales})
            self.sales = pair
        if not self.sales:
            raise Retryable("the sales of the crowd cannot be created")
