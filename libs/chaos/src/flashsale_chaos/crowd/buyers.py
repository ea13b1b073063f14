"""The buyers: each orders one thing after the other, and pays, cancels or forgets it."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from flashsale_chaos.crowd.patience import Patience
from flashsale_chaos.crowd.proofs import Headers, Proofs, user_name
from flashsale_chaos.crowd.shop import Shop
from flashsale_chaos.sales import PRICE_MINOR, QUANTITY_MAX, Sale
from flashsale_core.ids import order_id

USERS = 150
THINK_SECONDS = (0.02, 0.2)
GO_ON_SECONDS = 1.0
"""How long a buyer waits for the end of what an order leads to before the next order."""
LATE_SECONDS = 0.5
"""How long after its deadline an order is paid by those who are late."""
REDELIVERIES = 3
REDELIVERY_SECONDS = (0.5, 4.0)
NAME_BITS = 64
RESTOCKED = 0.8
"""The share of returned orders whose units are for sale again."""
# Shares of the accepted orders; the others are left to expire.
SHARES = {
    "pay": 0.24,
    "pay_wrong": 0.04,
    "take_back": 0.06,
    "pay_twice": 0.04,
    "pay_late": 0.06,
    "cancel": 0.18,
    "order_again": 0.1,
    "look": 0.07,
}
WAYS, WEIGHTS = (*SHARES, "leave"), (*SHARES.values(), 1 - sum(SHARES.values()))


class Buyers:
    def __init__(self, shop: Shop, patience: Patience, proofs: Proofs, order_id_key: bytes, rng: Random) -> None:
        self._shop, self._patience, self._proofs, self._key, self._rng = shop, patience, proofs, order_id_key, rng

    async def buy(self, sales: Sequence[Sale], tasks: asyncio.TaskGroup, may_begin: Callable[[], bool]) -> None:
        """Order while `may_begin`. What waits for a deadline, or for long, runs in `tasks`."""
        while may_begin():
            sale, number, quantity = self._rng.choice(sales), self._rng.randrange(USERS), self._rng.randint(1, QUANTITY_MAX)
            user, proof = user_name(number), self._proofs.of(number)
            request_id = f"{self._rng.getrandbits(NAME_BITS):x}"
            order = str(order_id(self._key, sale.sale_id, user, request_id))
            ask = partial(self._shop.order, sale.sale_id, order, user, quantity, request_id, proof)
            call = await self._patience.until_final(ask)
            if call is not None and call.status == 200:
                way = self._rng.choices(WAYS, WEIGHTS)[0]
                if way == "order_again":
                    await self._patience.until_final(ask)
                elif way in ("pay_late", "pay_twice"):
                    tasks.create_task(self._pay_for_nothing(way, sale, order, quantity * PRICE_MINOR))
                else:
                    going_on = tasks.create_task(self._go_on(way, sale.sale_id, order, quantity * PRICE_MINOR, proof))
                    # A payment has no final answer while the broker is away, and a loss may wait for an order meanwhile.
                    await asyncio.wait([going_on], timeout=GO_ON_SECONDS)
            await self._patience.sleep(self._rng.uniform(*THINK_SECONDS))

    async def _go_on(self, way: str, sale: str, order: str, amount_minor: int, proof: Headers) -> None:
        match way:
            case "pay":
                await self._pay(sale, order, self._new_payment(), amount_minor)
            case "pay_wrong":
                # The first is refunded, and the hold is still there for the second.
                await self._pay(sale, order, self._new_payment(), amount_minor - 1)
                await self._pay(sale, order, self._new_payment(), amount_minor)
            case "take_back":
                await self._pay(sale, order, self._new_payment(), amount_minor)
                restock = self._rng.random() < RESTOCKED
                await self._patience.until_final(lambda: self._shop.take_back(sale, order, restock))
            case "cancel":
                await self._patience.until_final(lambda: self._shop.cancel(sale, order, proof))
            case "look":
                await self._patience.until_final(lambda: self._shop.look(sale, order, proof))
            case _:
                pass

    async def _pay_for_nothing(self, way: str, sale: Sale, order: str, amount_minor: int) -> None:
        """Providers deliver a webhook at least once: one that is refunded comes again, when Redis may have been lost meanwhile."""
        if way == "pay_late":
            await self._patience.sleep(sale.window_seconds + LATE_SECONDS)
        else:
            await self._pay(sale.sale_id, order, self._new_payment(), amount_minor)
        payment_id = self._new_payment()
        await self._pay(sale.sale_id, order, payment_id, amount_minor)
        for _ in range(REDELIVERIES):
            await self._patience.sleep(self._rng.uniform(*REDELIVERY_SECONDS))
            if self._patience.pausing.is_set():
                return
            await self._pay(sale.sale_id, order, payment_id, amount_minor)

    def _new_payment(self) -> str:
        return f"p{self._rng.getrandbits(NAME_BITS):x}"

    async def _pay(self, sale: str, order: str, payment_id: str, amount_minor: int) -> None:
        await self._patience.until_final(lambda: self._shop.pay(sale, order, payment_id, amount_minor))
