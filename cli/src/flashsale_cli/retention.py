"""Deletes old sales from the ledger, each with all its rows. Called by `flashsale ledger prune`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from flashsale_core.errors import Retryable
from flashsale_core.faults import Server, describe_error

AGE_MIN = timedelta(days=30)
"""If a webhook arrives again after its payment was deleted, the payment is refunded."""
ORDERS_BATCH = 5_000
"""Most orders deleted in one transaction."""
BATCHES_MAX = 100_000
LOCK_TIMEOUT_SECONDS = 10

# A sale that was removed, or that Redis lost and that was created again. The oldest epoch of a name goes first, so that what remains
# never looks like a live sale. The sale must have no row younger than the cutoff, no open hold, no refund that is not sent, and no paid
# order that was reported as paid back and that nobody has decided on. What was settled or decided yesterday is young.
_OLD = """
    select s.sale_id, s.epoch, coalesce(s.retired_at, s.defined_at) as ended_at from sales s
     where (s.state = 'removed' or exists (select 1 from sales later where later.sale_id = s.sale_id and later.epoch > s.epoch))
       and greatest(s.retired_at, s.defined_at) < $1 and (s.sale_id, s.epoch) > ($2, $3)
       and not exists (select 1 from sales earlier where earlier.sale_id = s.sale_id and earlier.epoch < s.epoch
                        and not (earlier.sale_id = $2 and earlier.epoch = any ($4)))
       and not exists (select 1 from orders o
                        where (o.sale_id, o.epoch) = (s.sale_id, s.epoch) and greatest(o.updated_at, o.deadline) >= $1)
       and not exists (select 1 from payments p where (p.sale_id, p.epoch) = (s.sale_id, s.epoch) and p.at >= $1)
       and not exists (select 1 from refunds r where (r.sale_id, r.epoch) = (s.sale_id, s.epoch)
                        and (r.state <> 'sent' or greatest(r.created_at, r.changed_at) >= $1))
       and not exists (select 1 from refund_events e where (e.sale_id, e.epoch) = (s.sale_id, s.epoch) and e.at >= $1)
       and not exists (select 1 from reported_refunds b where (b.sale_id, b.epoch) = (s.sale_id, s.epoch))
     order by s.sale_id, s.epoch limit 1
"""
_COUNTS = """
    select (select count(*) from orders where (sale_id, epoch) = ($1, $2)),
           (select count(*) from order_events where (sale_id, epoch) = ($1, $2)),
           (select count(*) from payments where (sale_id, epoch) = ($1, $2)),
           (select count(*) from refunds where (sale_id, epoch) = ($1, $2))
"""
# An order is deleted with its history, with the payment that paid for it, and with that payment's refund if it was returned, so that an
# audit between two batches finds no difference.
_ORDERS = """
    with gone as (
        delete from orders o using (select order_id from orders where sale_id = $1 and epoch = $2 order by order_id limit $3) batch
         where (o.sale_id, o.epoch, o.order_id) = ($1, $2, batch.order_id) returning o.order_id, o.payment_id
    ), history as (
        delete from order_events e using gone where (e.sale_id, e.epoch, e.order_id) = ($1, $2, gone.order_id) returning 1
    ), paid as (
        delete from payments p using gone
         where (p.payment_id, p.sale_id, p.order_id) = (gone.payment_id, $1, gone.order_id)
           and p.epoch = $2 and p.result = 'paid' returning 1
    ), back as (
        delete from refunds r using gone
         where (r.payment_id, r.sale_id, r.order_id) = (gone.payment_id, $1, gone.order_id) and r.epoch = $2 returning 1
    ), reports as (
        delete from refund_reports b using gone where (b.payment_id, b.sale_id, b.order_id) = (gone.payment_id, $1, gone.order_id)
    )
    select (select count(*) from gone), (select count(*) from history), (select count(*) from paid), (select count(*) from back)
"""
_REST = """
    with history as (delete from order_events where (sale_id, epoch) = ($1, $2) returning 1),
         reports as (delete from refund_reports b using refunds r
                      where (b.payment_id, b.sale_id, b.order_id) = (r.payment_id, r.sale_id, r.order_id)
                        and (r.sale_id, r.epoch) = ($1, $2) returning 1),
         changes as (delete from refund_events where (sale_id, epoch) = ($1, $2) returning 1),
         back as (delete from refunds where (sale_id, epoch) = ($1, $2) returning 1),
         authors as (delete from sale_changes where (sale_id, epoch) = ($1, $2) returning 1),
         money as (delete from payments where (sale_id, epoch) = ($1, $2) returning 1),
         sale as (delete from sales where (sale_id, epoch) = ($1, $2) returning 1)
    select (select count(*) from history), (select count(*) from money), (select count(*) from back), (select count(*) from sale)
"""


@dataclass(frozen=True, slots=True)
class OldSale:
    sale_id: str
    epoch: int
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Pruned:
    """The number of rows of one sale that were deleted, or would be in a dry run."""

    sale: OldSale
    orders: int
    events: int
    payments: int
    refunds: int


async def prune(database_url: str, older_than: timedelta, sales_max: int, *, dry_run: bool) -> AsyncIterator[Pruned]:
    """Delete at most `sales_max` sales that ended longer ago than `older_than`. Each is yielded once it is deleted.

    Raises Retryable if Postgres refuses or does not answer; sales deleted before that stay deleted.
    """
    async with owner_connection(database_url) as connection:
        async for pruned in _prune(connection, older_than, sales_max, dry_run=dry_run):
            yield pruned


@asynccontextmanager
async def owner_connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the owner of the tables. Errors of Postgres, also those inside the block, become Retryable."""
    try:
        connection = await asyncpg.connect(database_url, timeout=10, statement_cache_size=0)
        try:
            yield connection
        finally:
            await connection.close()
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Retryable(describe_error(Server.POSTGRES, error)) from error


async def _prune(connection: asyncpg.Connection, older_than: timedelta, sales_max: int, *, dry_run: bool) -> AsyncIterator[Pruned]:
    async with connection.transaction():
        cutoff = await connection.fetchval("select now() - $1::interval", older_than)
    passed: list[OldSale] = []
    while len(passed) < sales_max and (sale := await _next(connection, cutoff, passed)) is not None:
        yield await (_count(connection, sale) if dry_run else _delete(connection, sale))
        passed.append(sale)


async def _next(connection: asyncpg.Connection, cutoff: datetime, passed: list[OldSale]) -> OldSale | None:
    """The next sale that can be deleted, after those that were deleted or, in a dry run, would have been."""
    name, epoch = (passed[-1].sale_id, passed[-1].epoch) if passed else ("", 0)
    epochs = [sale.epoch for sale in passed if sale.sale_id == name]
    async with connection.transaction():
        row = await connection.fetchrow(_OLD, cutoff, name, epoch, epochs)
    return OldSale(row["sale_id"], row["epoch"], row["ended_at"]) if row else None


async def _count(connection: asyncpg.Connection, sale: OldSale) -> Pruned:
    async with connection.transaction(readonly=True):
        row = await connection.fetchrow(_COUNTS, sale.sale_id, sale.epoch)
    return Pruned(sale, *(row or (0, 0, 0, 0)))


async def _delete(connection: asyncpg.Connection, sale: OldSale) -> Pruned:
    orders = events = payments = refunds = 0
    for _ in range(BATCHES_MAX):
        gone, history, paid, back = await execute_pruning(connection, _ORDERS, sale.sale_id, sale.epoch, ORDERS_BATCH)
        orders, events, payments, refunds = orders + gone, events + history, payments + paid, refunds + back
        if gone < ORDERS_BATCH:
            break
    history, money, back, _sales = await execute_pruning(connection, _REST, sale.sale_id, sale.epoch)
    return Pruned(sale, orders, events + history, payments + money, refunds + back)


async def execute_pruning(connection: asyncpg.Connection, query: str, *arguments: object) -> tuple[int, ...]:
    """Run the query in a transaction that is allowed to delete from order_events. It waits at most LOCK_TIMEOUT_SECONDS for a lock."""
    async with connection.transaction():
        await connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'; set local flashsale.prune = 'on'")
        row = await connection.fetchrow(query, *arguments)
    return tuple(row or ())
