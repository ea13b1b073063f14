"""Reads the orders of buyers from the ledger. The counts of all buyers cost Postgres about 1 us an order of the sale."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flashsale_audit.compare import HOLDING
from flashsale_audit.facts import Released

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
_RELEASED = """
    with wanted as materialized (
        select user_id, to_timestamp(at_ms / 1000) + at_ms % 1000 * interval '1 ms' as moment
          from unnest($3::text[], $4::bigint[]) as wanted (user_id, at_ms)
    ), history as (
        select order_id, at from order_events where sale_id = $1 and epoch = $2 and state = 'expired'
    ), found as (
        select user_id, moment, state, case when state in ('expired', 'cancelled') then updated_at else at end as released_at
          from orders join wanted using (user_id) left join history using (order_id) where sale_id = $1 and epoch = $2
    )
    select user_id, count(released_at),
           count(*) filter (where released_at is not null
                                  or state in ('paid', 'returned') and exists (select from shards where lost_entries > 0)),
           count(*) filter (where released_at < moment), bool_or(released_at = moment) is true
      from found group by user_id
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

    async def released(self, sale_id: str, epoch: int, moments: Mapping[str, int]) -> dict[str, Released]:
        """The released orders of each buyer, and those before a moment of the buyer's own: Redis' clock in Unix ms."""
        named = {user: at_ms for user, at_ms in moments.items() if "\0" not in user}
        released = dict.fromkeys(moments, Released(0, 0, 0))
        for user, least, most, before, of_moment in await self.database.fetch(_RELEASED, sale_id, epoch, list(named), list(named.values())):
            released[user] = Released(least, most, None if of_moment else before)
        return released

    async def orders(self, sale_id: str, epoch: int, users: Collection[str]) -> dict[str, dict[str, int]]:
        """The orders of each buyer in every state, and when they were reserved: Redis' clock in Unix ms, 0 if that is unknown."""
        orders: dict[str, dict[str, int]] = {user: {} for user in users}
        for user, order_id, at_ms in await self.database.fetch(_ORDERS, sale_id, epoch, [user for user in users if "\0" not in user]):
            orders[user][order_id] = at_ms
        return orders


def part_of(user: bytes, parts: int) -> int:
    """Which part of the buyers the user is in: the names have only ASCII characters."""
    return user[-1] % parts if user else 0
