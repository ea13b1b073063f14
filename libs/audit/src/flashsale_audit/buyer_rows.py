"""Reads the orders of buyers from the ledger. No index leads to a buyer, so each call reads the whole sale: about 0.3 us an order."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flashsale_audit.compare import HOLDING

if TYPE_CHECKING:
    import asyncpg

# An element of an array would cost the reader more than all the rest. No name of a buyer contains the separator (flashsale_core.ids).
_UNITS = """
    select string_agg(user_id, E'\\x1f'), string_agg(units::text, E'\\x1f') from (
        select user_id, sum(quantity)::bigint as units from orders
         where sale_id = $1 and epoch = $2 and state = any($3) and ($4::text[] is null or user_id = any($4))
           and ascii(right(user_id, 1)) % $5 = $6
         group by user_id) as buyer
"""
_ORDERS = "select user_id, order_id from orders where sale_id = $1 and epoch = $2 and user_id = any($3)"
_STATES = sorted(HOLDING)


@dataclass(frozen=True, slots=True)
class BuyerRows:
    database: "asyncpg.Connection[asyncpg.Record]"

    async def units(
        self, sale_id: str, epoch: int, users: Collection[bytes] | None = None, parts: int = 1, part: int = 0
    ) -> dict[bytes, bytes]:
        """The units that buyers hold or bought, as text; without `users` of all buyers of a part (`part_of`). Nobody has no units."""
        named = None if users is None else [user.decode() for user in users if b"\0" not in user]
        row = await self.database.fetchrow(_UNITS, sale_id, epoch, _STATES, named, parts, part)
        if row is None or row[0] is None:
            return {}
        return dict(zip(row[0].encode().split(b"\x1f"), row[1].encode().split(b"\x1f"), strict=True))

    async def orders(self, sale_id: str, epoch: int, users: Collection[str]) -> dict[str, set[str]]:
        """The orders of each of these buyers, in every state."""
        orders: dict[str, set[str]] = {user: set() for user in users}
        for user, order_id in await self.database.fetch(_ORDERS, sale_id, epoch, [user for user in users if "\0" not in user]):
            orders[user].add(order_id)
        return orders


def part_of(user: bytes, parts: int) -> int:
    """Which part of the buyers the user is in: the names have only ASCII characters."""
    return user[-1] % parts if user else 0
