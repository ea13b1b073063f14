"""Repairs what is damaged in Redis before a rebuild joins it with the ledger: what the ledger knows comes from there.

A record that neither can tell leaves the sale for the quarantine, and the sale stays closed: nobody knows whose units it had.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from flashsale_core.errors import Retryable
from flashsale_recovery.rebuild.damage import Damage
from flashsale_recovery.rebuild.facts import Definition
from flashsale_recovery.rebuild.ledger import Ledger, pages
from flashsale_recovery.rebuild.report import Quarantined, Repair
from flashsale_recovery.rebuild.restorer import Restorer
from flashsale_recovery.rebuild.surviving import Surviving

SCANS_MAX = 3


@dataclass(frozen=True, slots=True)
class Mending:
    ledger: Ledger
    surviving: Surviving
    restorer: Restorer

    async def plan(self, sale: Definition, damage: Damage, quarantined: Sequence[Quarantined]) -> Repair:
        """What is to be repaired, and which orders nobody knows. `quarantined` is what earlier rebuilds could not read of the sale."""
        unreadable = list(dict.fromkeys(damage.unreadable))
        known = await self._in_ledger(sale, [*unreadable, *(each.order_id for each in quarantined)])
        return Repair(
            sale.sale_id,
            sale.epoch,
            damage.wrong_types,
            recounted=damage.counts_differ,
            known=[each for each in unreadable if each in known],
            unknown=[each for each in unreadable if each not in known],
            settled=[each for each in quarantined if each.order_id in known],
            quarantined=[each.order_id for each in quarantined if each.order_id not in known],
        )

    async def carry_out(self, sale: Definition, repair: Repair) -> None:
        """Raises Retryable if Redis returns orders twice time and again."""
        name = repair.sale_id
        await self.restorer.now(name, {"drop": list(repair.wrong_types), "settled": [each.field for each in repair.settled]})
        for kind, ids in (("known", repair.known), ("unknown", repair.unknown)):
            for page in pages(ids):
                await self.restorer.now(name, {kind: list(page), "epoch": sale.epoch})
        if not repair.recounted:
            return
        for _ in range(SCANS_MAX):
            if await self._recount(sale):
                return
        raise Retryable(f"{name}: Redis still resizes the hash of its orders")

    async def _recount(self, sale: Definition) -> bool:
        """Count the buyers by their orders. Returns False if Redis returned an order twice, which is counted twice then."""
        name = sale.sale_id
        await self.restorer.now(name, {"forget_buyers": True})
        seen = 0
        async for fields in self.surviving.packed_pages(name):
            for page in pages([each.decode() for each in fields if each.isascii()]):
                # The record of a paid order does not show that it was released before.
                rows = await self.ledger.orders(sale, page)
                await self.restorer.now(name, {"count": list(page), "lapsed": [each for each, row in rows.items() if row.was_released]})
            seen += len(fields)
        return seen == (await self.surviving.order_counts([name]))[name]

    async def _in_ledger(self, sale: Definition, order_ids: Sequence[str]) -> set[str]:
        known: set[str] = set()
        for page in pages(order_ids):
            known |= (await self.ledger.orders(sale, list(page))).keys()
        return known
