"""Reads what the ledger had at a moment of Redis' clock, once it has received every entry that was written until then.

Each transition has the time of the script that made it, so a number that Redis had at a moment can be compared although the sale goes on.
Transitions of the same millisecond may be before or after that moment. A clock that was set back only makes values differ that are equal.
`orders` reads the whole sale, because no index leads to a time: about 0.1 us an order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from flashsale_audit.compare import HOLDING
from flashsale_audit.facts import Released

if TYPE_CHECKING:
    import asyncpg

_ORDERS = """
    with moment as (select to_timestamp($3::bigint / 1000) + $3::bigint % 1000 * interval '1 ms' as at)
    select count(*) filter (where coalesce(reserved_at, updated_at) < at), count(*) filter (where coalesce(reserved_at, updated_at) <= at)
      from orders, moment where sale_id = $1 and epoch = $2
"""
_WANTED = """with wanted as materialized (
        select user_id, to_timestamp(at_ms / 1000) + at_ms % 1000 * interval '1 ms' as moment
          from unnest($3::text[], $4::bigint[]) as wanted (user_id, at_ms)
    )"""
# The history is read only of orders that changed since, so a few: the lateral join is then one lookup by key for each.
_UNITS = f"""
    {_WANTED}
    select user_id, sum(quantity) filter (where case when updated_at < moment then o.state = any($5) else held end)::bigint,
           bool_or(of_moment) is true
      from orders o join wanted using (user_id) left join lateral (
        select case when bool_or(state = 'returned' and at < moment) then false when bool_or(state = 'paid' and at < moment) then true
                    when bool_or(state in ('expired', 'cancelled') and at < moment) then false
                    else bool_or(at < moment) end as held,
               bool_or(at = moment) as of_moment
          from order_events where sale_id = $1 and epoch = $2 and order_id = o.order_id and o.updated_at >= moment
    ) history on true
     where sale_id = $1 and epoch = $2 group by user_id
"""  # noqa: S608 - only the text above
_RELEASED = f"""
    {_WANTED}, history as (
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
"""  # noqa: S608 - only the text above
_STATES = sorted(HOLDING)


class Bounds(NamedTuple):
    before: int
    """Without what happened in the millisecond itself."""
    with_moment: int


class Units(NamedTuple):
    held: int
    is_exact: bool
    """False if an order of the buyer changed in the millisecond itself."""


@dataclass(frozen=True, slots=True)
class AsOf:
    database: "asyncpg.Connection[asyncpg.Record]"

    async def orders(self, sale_id: str, epoch: int, at_ms: int) -> Bounds:
        """The number of orders that had been reserved, at a time in Unix milliseconds."""
        row = await self.database.fetchrow(_ORDERS, sale_id, epoch, at_ms)
        return Bounds(*row) if row is not None else Bounds(0, 0)

    async def units(self, sale_id: str, epoch: int, moments: Mapping[str, int]) -> dict[str, Units]:
        """The units that each of these buyers held or had bought at a time of their own, in Unix milliseconds."""
        rows = await self.database.fetch(_UNITS, sale_id, epoch, *_columns(moments), _STATES)
        units = dict.fromkeys(moments, Units(0, is_exact=True))
        units.update({user: Units(held or 0, not of_moment) for user, held, of_moment in rows})
        return units

    async def released(self, sale_id: str, epoch: int, moments: Mapping[str, int]) -> dict[str, Released]:
        """The released orders of each of these buyers, and those before a time of their own, in Unix milliseconds."""
        released = dict.fromkeys(moments, Released(0, 0, 0))
        for user, least, most, before, of_moment in await self.database.fetch(_RELEASED, sale_id, epoch, *_columns(moments)):
            released[user] = Released(least, most, None if of_moment else before)
        return released


def _columns(moments: Mapping[str, int]) -> tuple[list[str], list[int]]:
    """Users and times. The ledger can have no other users, and Postgres refuses a text with this character."""
    named = {user: at_ms for user, at_ms in moments.items() if "\0" not in user}
    return list(named), list(named.values())
