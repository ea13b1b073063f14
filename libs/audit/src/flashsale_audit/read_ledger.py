"""Reads the ledger. Postgres computes sums and joins; only their results and pages of orders are transferred."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import asyncpg

from flashsale_audit.as_of import AsOf
from flashsale_audit.buyer_rows import BuyerRows
from flashsale_audit.catch_up import History as Place
from flashsale_audit.facts import DEFINITION, History, LedgerOrder, Money, OrderTotals, TotalsByState, Violations
from flashsale_audit.lines import Columns
from flashsale_audit.refund_rows import RefundRows
from flashsale_core.orders import LETTERS, State
from flashsale_core.positions import Range

PAGE = 2000

# Counts and names rows that must not exist: `bad` is a query of one column. All its parts are constants of this module.
_VIOLATIONS = "with bad(name) as ({}) select count(*) as count, (array_agg(name order by name))[1:1000] as names from bad"

_HISTORY = """
    with history as (
        select order_id, bool_or(state = 'reserved') as reserved, bool_or(state = 'paid') as paid,
               bool_or(state = 'expired') as expired, bool_or(state = 'cancelled') as cancelled, bool_or(state = 'returned') as returned
          from order_events where sale_id = $1 and epoch = $2 group by order_id)
    select o.order_id from orders o left join history h using (order_id) where o.sale_id = $1 and o.epoch = $2 and
"""
_NO_RESERVED_EVENT = _VIOLATIONS.format(_HISTORY + "h.reserved is not true")
# The order's state must be the highest state in its history, and a cancelled order must have no other final state.
_OTHER_HISTORY = _VIOLATIONS.format(
    _HISTORY
    + """(o.state is distinct from case when h.returned then 'returned' when h.paid then 'paid' when h.expired then 'expired'
                                            when h.cancelled then 'cancelled' else 'reserved' end
          or h.cancelled and (h.expired or h.paid or h.returned) or h.returned and not h.paid)"""
)
_PAID = """
    with paying as (select epoch, order_id, count(*) as times, min(payment_id) as payment_id
                      from payments where sale_id = $1 and result = 'paid' group by epoch, order_id)
    select o.order_id from orders o left join paying p using (epoch, order_id) where o.sale_id = $1 and o.state in ('paid', 'returned') and
"""
_NO_PAYMENT = _VIOLATIONS.format(_PAID + "(p.times is null or p.times = 1 and p.payment_id is distinct from o.payment_id)")
_MANY_PAYMENTS = _VIOLATIONS.format(_PAID + "p.times > 1")
_NO_PAID_ORDER = _VIOLATIONS.format("""
    select p.payment_id from payments p left join orders o using (sale_id, epoch, order_id)
     where p.sale_id = $1
       and (p.result = 'paid' and coalesce(o.state not in ('paid', 'returned'), true) or (p.status = 'failed') <> (p.result = 'failed'))
""")
_NO_REFUND = _VIOLATIONS.format("""
    select p.payment_id from payments p left join refunds r using (payment_id, sale_id, order_id)
      left join orders o on (o.sale_id, o.epoch, o.order_id) = (p.sale_id, p.epoch, p.order_id) and o.state = 'returned'
     where p.sale_id = $1 and (p.result = 'refund_due' or p.result = 'paid' and o.order_id is not null)
       and (r.amount_minor, r.currency) is distinct from (p.amount_minor, p.currency)
""")
_NO_REASON_TO_REFUND = _VIOLATIONS.format("""
    select r.payment_id from refunds r left join payments p using (payment_id, sale_id, order_id)
      left join orders o on (o.sale_id, o.epoch, o.order_id) = (r.sale_id, r.epoch, r.order_id) and o.state = 'returned'
     where r.sale_id = $1 and p.result is distinct from 'refund_due'
       and not coalesce(p.result = 'paid' and r.reason = 'returned' and o.order_id is not null, false)
""")
# What a rebuild restored has no amount to compare with.
_OVERPAID = _VIOLATIONS.format("""
    select payment_id from refunds where sale_id = $1 and amount_minor > 0 and refunded_minor > amount_minor
""")
_PAID_SALES = """
    select sale_id from payments union select sale_id from refunds
    union select sale_id from orders where state in ('paid', 'returned') order by sale_id
"""
# One statement, because amounts that are read at different moments do not add up while payments arrive.
_AMOUNTS = """
    select 'received', currency, sum(amount_minor)::bigint from payments where sale_id = $1 and status = 'succeeded' group by currency
    union all
    select 'kept', p.currency, sum(p.amount_minor)::bigint from payments p left join orders o using (sale_id, epoch, order_id)
     where p.sale_id = $1 and p.result = 'paid' and o.state is distinct from 'returned' group by p.currency
    union all
    select 'refunds', currency, sum(amount_minor)::bigint from refunds where sale_id = $1 group by currency
    union all
    select 'sent', currency, sum(refunded_minor)::bigint from refunds where sale_id = $1 group by currency
"""

_SUMS = """
    select state, count(*), sum(quantity)::bigint,
           coalesce(sum(quantity) filter (where state = 'paid' or state = 'returned' and not coalesce(restocked, false)), 0)::bigint
      from orders where sale_id = $1 and epoch = $2 group by state
"""
# The lateral join forces one index lookup per order. With `= any` and statistics from before a sale of a million orders, the planner
# scanned the whole sale for every page, for hours.
_ORDERS = """
    select o.* from unnest($3::text[]) as wanted (order_id), lateral (
        select order_id, state, user_id, quantity, payment_id from orders
         where sale_id = $1 and epoch = $2 and order_id = wanted.order_id limit 1
    ) o
"""
_STATES = json.dumps(dict(LETTERS))
# Only what differs is transferred. The orders are two columns of text (flashsale_audit.lines): asyncpg takes longer for the elements of an
# array than for all the rest.
_UNLIKE = """
    select wanted.order_id, wanted.line, o.order_id is null as missing
      from unnest(string_to_array($3, E'\\x1f'), string_to_array($4, E'\\x1f')) as wanted (order_id, line)
      left join lateral (
        select order_id, state, user_id, quantity, coalesce(payment_id, '') as payment_id from orders
         where sale_id = $1 and epoch = $2 and order_id = wanted.order_id limit 1
    ) o on true
     where o.state is distinct from ($5::json ->> left(line, 1))
        or substr(line, 2) <> o.user_id || E'\\x1d' || o.quantity || E'\\x1d'
           || case when o.state in ('paid', 'returned') then o.payment_id else '' end
"""
_SALE = """
    select total, state, owner, generation, base, max_per_user, max_released, hold_seconds, rate_requests, rate_seconds, late_payment,
           durability, price, coalesce(extract(epoch from starts_at) * 1000, 0)::bigint as starts_ms,
           coalesce(extract(epoch from ends_at) * 1000, 0)::bigint as ends_ms
      from sales where sale_id = $1 and epoch = $2
"""
_ORDERS_PAGE = """
    select order_id, state, user_id, quantity, payment_id from orders
     where sale_id = $1 and epoch = $2 and order_id > $3 order by order_id limit $4
"""
_LIVE_SALES = """
    select sale_id from (select distinct on (sale_id) sale_id, state from sales order by sale_id, epoch desc) latest
     where state <> 'removed' order by sale_id
"""


# Postgres joins the ranges: while a crowd buys there are hundreds in a second, and each row costs the reader more than all of this.
_RECEIVED = """
    select shard, incarnation, lower(known), upper(known) - 1 from (
        select r.shard, r.incarnation, unnest(range_agg(int8range(r.from_seq, r.to_seq, '[]'))) as known
          from unnest($1::int[], $2::bigint[], $3::bigint[]) as above (shard, incarnation, seq), lateral (
            select * from received_entries r where r.shard = above.shard and r.incarnation = above.incarnation and r.to_seq > above.seq
        ) r group by r.shard, r.incarnation
    ) joined
"""

# Right after a sale the planner's statistics still show empty tables, and the nested loops that it then chooses take a minute.
# The settings are for the transaction only, because behind a pooler the session is somebody else's next.
SESSION = "set local enable_nestloop = off; set local jit = off"


class LedgerReader:
    def __init__(self, database: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._database = database
        self.buyers = BuyerRows(database)
        self.as_of = AsOf(database)
        self.refunds = RefundRows(database)

    async def live_sale_ids(self) -> list[str]:
        """The sales that must be in Redis."""
        return [row[0] for row in await self._database.fetch(_LIVE_SALES)]

    async def paid_sale_ids(self) -> list[str]:
        """The sales with a payment, a refund or a paid order, which `money` reads. The empty id is for payments that belong to no sale."""
        return [row[0] for row in await self._database.fetch(_PAID_SALES)]

    async def sale(self, sale_id: str, epoch: int) -> dict[str, str] | None:
        """The definition as facts.Counters has it; None if the ledger has no such sale."""
        row = await self._database.fetchrow(_SALE, sale_id, epoch)
        return {name: str(row[name]) for name in ("total", *DEFINITION)} if row else None

    async def history(self, sale_id: str, epoch: int) -> History:
        return History(
            without_reserved_event=await self._violations(_NO_RESERVED_EVENT, sale_id, epoch),
            with_other_history=await self._violations(_OTHER_HISTORY, sale_id, epoch),
        )

    async def sums(self, sale_id: str, epoch: int) -> TotalsByState:
        rows = await self._database.fetch(_SUMS, sale_id, epoch)
        return {State(state): OrderTotals(*numbers) for state, *numbers in rows}

    async def orders(self, sale_id: str, epoch: int, order_ids: Sequence[str]) -> dict[str, LedgerOrder]:
        """The named orders that are in the ledger."""
        # The ledger can have no other names, and Postgres refuses a text with this character.
        names = [order_id for order_id in order_ids if "\0" not in order_id]
        return _orders(await self._database.fetch(_ORDERS, sale_id, epoch, names))

    async def unlike(self, sale_id: str, epoch: int, columns: Columns) -> tuple[dict[str, str], int]:
        """The lines of the orders among these that differ from their rows, and the number of those without a row."""
        rows = await self._database.fetch(_UNLIKE, sale_id, epoch, columns.names, columns.lines, _STATES) if columns.size else []
        return {order_id: line for order_id, line, _ in rows}, sum(missing for _, _, missing in rows)

    async def order_pages(self, sale_id: str, epoch: int) -> AsyncIterator[dict[str, LedgerOrder]]:
        last = ""
        while rows := await self._database.fetch(_ORDERS_PAGE, sale_id, epoch, last, PAGE):
            yield _orders(rows)
            last = rows[-1]["order_id"]

    async def first_positions(self) -> dict[Place, int]:
        """Where each incarnation of each shard began."""
        rows = await self._database.fetch("select shard, incarnation, first_seq from shards")
        return {Place(shard, incarnation): first for shard, incarnation, first in rows}

    async def received(self, above: Mapping[Place, int]) -> dict[Place, list[Range]]:
        """The entries beyond a position that were received, by shard and incarnation: in as few ranges as possible."""
        columns = ([place.shard for place in above], [place.incarnation for place in above], list(above.values()))
        ranges: dict[Place, list[Range]] = {}
        for shard, incarnation, first, last in await self._database.fetch(_RECEIVED, *columns):
            ranges.setdefault(Place(shard, incarnation), []).append(Range(first, last))
        return ranges

    async def money(self, sale_id: str) -> Money:
        amounts: dict[str, dict[str, int]] = {"received": {}, "kept": {}, "refunds": {}, "sent": {}}
        for name, currency, amount in await self._database.fetch(_AMOUNTS, sale_id):
            amounts[name][currency] = amount
        return Money(
            paid_orders_without_payment=await self._violations(_NO_PAYMENT, sale_id),
            paid_orders_with_many_payments=await self._violations(_MANY_PAYMENTS, sale_id),
            payments_without_paid_order=await self._violations(_NO_PAID_ORDER, sale_id),
            due_without_refund=await self._violations(_NO_REFUND, sale_id),
            refunds_without_payment=await self._violations(_NO_REASON_TO_REFUND, sale_id),
            refunds_overpaid=await self._violations(_OVERPAID, sale_id),
            received_minor=amounts["received"],
            kept_minor=amounts["kept"],
            refunds_minor=amounts["refunds"],
            sent_minor=amounts["sent"],
        )

    async def _violations(self, query: str, *arguments: Any) -> Violations:
        row = await self._database.fetchrow(query, *arguments)
        return Violations(row["count"], tuple(row["names"] or ())) if row else Violations()


def _orders(rows: Sequence[Any]) -> dict[str, LedgerOrder]:
    return {row["order_id"]: LedgerOrder(State(row["state"]), row["user_id"], row["quantity"], row["payment_id"] or "") for row in rows}
