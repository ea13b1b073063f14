"""Looks for damage in what Redis still has of the sales, before a rebuild works with it. It only reads."""

from collections.abc import Mapping
from dataclasses import dataclass

from flashsale_recovery.rebuild.damage import Damage, Tally
from flashsale_recovery.rebuild.ledger import SALES_AT_ONCE, SMALL_SALE
from flashsale_recovery.rebuild.surviving import Surviving


@dataclass(frozen=True, slots=True)
class Inspection:
    surviving: Surviving

    async def run(self, counts: Mapping[str, int]) -> dict[str, Damage]:
        """The sales that are damaged. `counts` has the number of orders in Redis, by sale."""
        small = [name for name, count in sorted(counts.items()) if count <= SMALL_SALE]
        damages: dict[str, Damage] = {}
        for start in range(0, len(small), SALES_AT_ONCE):
            damages |= await self._of_small(small[start : start + SALES_AT_ONCE])
        for name in sorted(counts.keys() - set(small)):
            damages[name] = await self._of_great(name)
        return {name: damage for name, damage in damages.items() if damage.is_any}

    async def _of_small(self, names: list[str]) -> dict[str, Damage]:
        orders, buyers = await self.surviving.packed_orders_of(names), await self.surviving.buyers_of(names)
        damages = {}
        for name in names:
            tally = Tally(is_great=False)
            tally.add_orders(orders[name])
            tally.add_buyers(buyers[name])
            damages[name] = tally.damage(self.surviving.wrong_types(name))
        return damages

    async def _of_great(self, name: str) -> Damage:
        tally = Tally(is_great=True)
        async for fields in self.surviving.packed_pages(name):
            tally.add_orders(fields)
        async for counts in self.surviving.buyer_pages(name):
            tally.add_buyers(counts)
        return tally.damage(self.surviving.wrong_types(name))
