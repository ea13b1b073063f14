"""Proves that a sale counts more units for a buyer than the buyer's orders have, although the buyer goes on ordering.

The look needs all orders of the buyer that existed then. The ledger lists them once it has received every entry that was written before:
an order that it lists only then and that was reserved after the look, by Redis' clock, is younger. Two looks must find the same
difference, unless the ledger lists no other order at all. An order that it never lists may be a lost row, so a last pass over the sale's
orders in Redis must bring no such order. A buyer who differs by the same number of units as in the last round needs no further pass,
because such an order would change the number.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from flashsale_audit.buyer_audit import BuyerAudit, Excess, Orders
from flashsale_audit.catch_up import CatchUp
from flashsale_audit.read_ledger import LedgerReader
from flashsale_audit.repeats import Repeats

TRIES = 10
"""How often a buyer is looked at again who had ordered meanwhile."""


@dataclass(frozen=True, slots=True)
class BuyerProof:
    audit: BuyerAudit
    ledger: LedgerReader
    catch_up: CatchUp
    epoch: int
    repeats: Repeats

    async def run(self, users: Collection[str]) -> None:
        """Report those among the users whose units differ from their orders. Who orders all the time may be left to the next round."""
        proven, excess = dict[str, set[str]](), dict[str, Excess]()
        orders = {user: set(listed) for user, listed in (await self._listed(users)).items()}
        before = self.repeats.take_proven(check := f"buyers {self.audit.sale_id} {self.epoch}")
        for _ in range(TRIES):
            suspects, seen = await self.audit.look(orders)
            if not suspects or not await self.catch_up.received():
                break
            listed = await self._listed(suspects)
            proven |= {user: ids for user, ids in suspects.items() if _is_proven(ids, listed[user], seen[user], excess.get(user))}
            excess |= seen
            orders = {user: ids | listed[user].keys() for user, ids in suspects.items() if user not in proven}
        if proven:
            new = {user: ids for user, ids in proven.items() if excess[user].units != before.get(user)}
            reported = proven.keys() - (await self._hidden(new) if new else set())
            self.audit.findings.add(excess[user].difference for user in sorted(reported))
            self.repeats.note_proven(check, {user: excess[user].units for user in reported})

    async def _listed(self, users: Collection[str]) -> dict[str, dict[str, int]]:
        return await self.ledger.buyers.orders(self.audit.sale_id, self.epoch, users) if users else {}

    async def _hidden(self, orders: Orders) -> set[str]:
        """The users among them with an order that the ledger may never have listed."""
        others = await self.audit.other_orders(orders)
        if not others or not await self.catch_up.received() or self.catch_up.has_holes:
            return set(others)
        listed = await self._listed(others)
        return {user for user, ids in others.items() if not ids <= listed[user].keys()}


def _is_proven(ids: Collection[str], listed: Mapping[str, int], seen: Excess, before: Excess | None) -> bool:
    """Whether a look had all orders of a buyer, by what the ledger lists after it, and what the look before it had found."""
    younger = [at_ms for order_id, at_ms in listed.items() if order_id not in ids]
    if not younger:
        return True
    # A clock that was set back makes an order of before the look younger. The next look has that order, so its difference is another one.
    return min(younger) > seen.at_ms and before is not None and before.units == seen.units
