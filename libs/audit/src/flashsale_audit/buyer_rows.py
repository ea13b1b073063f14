"""Reads the orders of buyers from the ledger. The counts of all buyers cost Postgres about 1 us an order of the sale."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flashsale_audit.compare import HOLDING

if TYPE_CHECKING:
    import asyncpg

# An element of an array would cost the reader more than all the rest. No name of a buyer contains the separator (flashsale_core.ids).
# An order that was paid may have expired before: only its history says so. '#' is read_redis.RELEASED.
_COUNTS = """
    with history as (select order_id, true as expired from order_events where sale_id = $1 and epoch = $2 and state = 'expired')
    select string_agg(name, E'\\x1f'), string_agg(count::text, E'\\x1f') from (
        select user_id, sum(quantity) filter (where state = any($3)) as units,
               count(*) filter (where state in ('expired', 'cancelled') or expired) as released
          from orders left join history using (order_id)
         where sale_id = $1 and epoch = $2 and ascii(right(user_id, 1)) % $4 = $5 group by user_id
    ) buyer, lateral (values (user_id, units), ('#' || user_id, released)) as counted (name, count) where count > 0
"""
_ORDERS = """
    select user_id, order_id, coalesce(extract(epoch from reserved_at) * 1000, 0)::bigint from orders
     where sale_id = $1 and epoch = $2 and user_id = any($3)
"""
_STATES = sorted(HOLDING)


@dataclass(frozen=True, slots=True)
class BuyerRows:
    database: "asyncpg.Connection[asyncpg.Record]"

    async def counts(self, sale_id: str, epoch: int, parts: int, part: int) -> dict[bytes, bytes]:
        """What Redis counts for the buyers of a part (`part_of`), as RedisReader.buyer_fields returns it. No count is 0."""
        row = await self.database.fetchrow(_COUNTS, sale_id, epoch, _STATES, parts, part)
        if row is None or row[0] is None:
            return {}
        return dict(zip(row[0].encode().split(b"\x1f"), row[1].encode().split(b"\x1f"), strict=True))

    async def orders(self, sale_id: str, epoch: int, users: Collection[str]) -> dict[str, dict[str, int]]:
        """The orders of each buyer in every state, and when they were reserved: Redis' clock in Unix ms, 0 if that is unknown."""
        orders: dict[str, dict[str, int]] = {user: {} for user in users}
        for user, order_id, at_ms in await self.database.fetch(_ORDERS, sale_id, epoch, [user for user in users if "\0" not in user]):
            orders[user][order_id] = at_ms
        return orders


def part_of(user: bytes, parts: int) -> int:
    """Which part of the buyers the user is in: the names have only ASCII characters."""
    return user[-1] % parts if user else 0
