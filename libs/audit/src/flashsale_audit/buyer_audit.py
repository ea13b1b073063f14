"""Compares the units that a sale counts for each buyer with the buyer's orders.

A look at a buyer needs all orders of the buyer. Whether it had them shows a pass over the sale's orders that begins after the look: it sees
every order that existed at the look. If it brings no other order of the buyer, the difference was real.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from flashsale_audit.buyers import BuyerPass, units_of
from flashsale_audit.differences import Difference, Findings, Kind
from flashsale_audit.read_redis import RELEASED, RedisReader
from flashsale_audit.skipped import Skipped

LOOK_USERS = 100
LOOK_IDS = 200
LOOK_IDS_MAX = 2000
"""A buyer with more orders is not judged, because one look cannot read them."""
PASSES_MAX = 5
Orders = Mapping[str, set[str]]
"""The known orders by user."""


class Excess(NamedTuple):
    units: int
    """How many more the sale counts than the buyer's known orders have."""
    difference: Difference
    at_ms: int = 0
    """When that was seen, by Redis' clock."""


@dataclass(frozen=True, slots=True)
class BuyerAudit:
    redis: RedisReader
    sale_id: str
    findings: Findings
    pace: Callable[[], Awaitable[None]]
    skipped: Skipped

    async def run(self, buyers: BuyerPass) -> set[str]:
        """Judge the units. Returns the buyers whose released orders differ, perhaps because some were paid later or the sale moved."""
        released = dict[str, int]()
        async for page in self.redis.buyer_fields(self.sale_id):
            counts = {name.decode(): int(count) for name, count in page.items()}
            released |= {name.removeprefix(RELEASED): count for name, count in counts.items() if name.startswith(RELEASED)}
            buyers.add_noted({name: count for name, count in counts.items() if not name.startswith(RELEASED)})
            await self.pace()
        await self._judge_units(buyers)
        return {user for user in {*released, *buyers.released} if released.get(user, 0) != buyers.released[user]}

    async def _judge_units(self, buyers: BuyerPass) -> None:
        suspects, excess = await self.look(buyers.open)
        for _ in range(PASSES_MAX):
            if not suspects:
                return
            others = await self.other_orders(suspects)
            self.findings.add(excess[user].difference for user in suspects if user not in others)
            suspects, excess = await self.look({user: suspects[user] | ids for user, ids in others.items()})

    async def look(self, orders: Orders) -> tuple[dict[str, set[str]], dict[str, Excess]]:
        """The users among them with more units than orders. Too few units are a fault whatever other orders exist."""
        for user, ids in orders.items():
            if len(ids) > LOOK_IDS_MAX:
                self.skipped.add(f"{self.sale_id} {user}", f"a buyer with more than {LOOK_IDS_MAX} orders", for_now=False)
        suspects, excess = {}, {}
        for part in _parts(orders):
            look = await self.redis.look(self.sale_id, list(chain.from_iterable(part.values())), list(part))
            for user, ids in part.items():
                units, count = units_of(user, look.records, ids), look.units[user]
                difference = Difference(Kind.BUYER_UNITS, f"{self.sale_id} {user}", f"orders have {units} units, the sale counts {count}")
                if units > count:
                    self.findings.add([difference])
                elif units < count:
                    suspects[user], excess[user] = ids, Excess(count - units, difference, look.now_ms)
            await self.pace()
        return suspects, excess

    async def other_orders(self, suspects: Orders) -> dict[str, set[str]]:
        """The orders of these users that are not among the known ones."""
        others: dict[str, set[str]] = {}
        async for page in self.redis.user_pages(self.sale_id, suspects):
            for order_id, user in page.items():
                if user in suspects and (name := order_id.decode()) not in suspects[user]:
                    others.setdefault(user, set()).add(name)
            await self.pace()
        return others


def _parts(orders: Orders) -> Iterator[dict[str, set[str]]]:
    """Portions for one look each."""
    part: dict[str, set[str]] = {}
    size = 0
    for user, ids in orders.items():
        if len(ids) > LOOK_IDS_MAX:
            continue
        if part and (size + len(ids) > LOOK_IDS or len(part) == LOOK_USERS):
            yield part
            part, size = {}, 0
        part[user] = ids
        size += len(ids)
    if part:
        yield part
