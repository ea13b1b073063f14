"""The merchant: creates the sales, adds units while they run, and removes those that are over."""

from collections.abc import Sequence
from functools import partial
from random import Random

from flashsale_chaos.crowd.patience import Patience
from flashsale_chaos.crowd.shop import Shop
from flashsale_chaos.sales import STOCK, STOCK_STEP, Sale

PAUSE_SECONDS = (0.5, 1.2)


class Merchant:
    def __init__(self, shop: Shop, patience: Patience, sold_out: set[str], rng: Random) -> None:
        """`sold_out`: the sales that refused an order since units were added; the merchant takes them out."""
        self._shop, self._patience, self._sold_out, self._rng = shop, patience, sold_out, rng
        self._over: list[str] = []
        self._stock: dict[str, int] = {}

    async def open(self, sales: Sequence[Sale]) -> bool:
        """Whether every sale was created."""
        self._stock = {sale.sale_id: STOCK for sale in sales}
        calls = [await self._define(sale) for sale in sales]
        return all(calls)

    async def add_units(self, sales: Sequence[Sale]) -> None:
        """Add units to sales that are sold out until the crowd pauses: on a slow machine they would have units all the time."""
        while True:
            await self._patience.sleep(self._rng.uniform(*PAUSE_SECONDS))
            if self._patience.pausing.is_set():
                return
            await self.add_where_sold_out(sales)

    async def add_where_sold_out(self, sales: Sequence[Sale]) -> None:
        """Add units to one of the sales that are sold out."""
        wanted = [sale for sale in sales if sale.sale_id in self._sold_out]
        if wanted:
            sale = self._rng.choice(wanted)
            self._sold_out.discard(sale.sale_id)
            self._stock[sale.sale_id] += STOCK_STEP
            await self._define(sale)

    def end(self, sales: Sequence[Sale]) -> None:
        self._over += [sale.sale_id for sale in sales]

    async def remove_ended(self) -> None:
        """Remove sales that are over. One with live holds is only closed (202) and tried again next time."""
        answers = {name: await self._patience.until_final(partial(self._shop.remove, name)) for name in self._over}
        self._over = [name for name, call in answers.items() if call is None or call.status == 202]

    async def _define(self, sale: Sale) -> bool:
        definition = sale.definition(self._stock[sale.sale_id])
        call = await self._patience.until_final(lambda: self._shop.define(sale.sale_id, definition))
        return call is not None and call.status in (200, 201)
