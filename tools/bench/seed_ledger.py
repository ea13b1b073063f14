"""Fills the ledger with the orders of one sale, as a real sale would have left them: most paid, some held, expired and cancelled."""

from typing import NamedTuple

import asyncpg

DEFINE = """
insert into sales (sale_id, epoch, owner, generation, state, total, max_per_user, hold_seconds, rate_requests, rate_seconds, late_payment,
                   defined_at)
values ($1, $2::bigint, 'admin', 2, 'open', $3, 0, 1800, 0, 1, 'refund', to_timestamp($2::bigint / 1000.0))
"""
# The ids are as long as real ones, and in no order, as hashes are.
ORDERS = """
insert into orders (sale_id, epoch, order_id, user_id, quantity, state, deadline, reserved_at, payment_id, updated_at)
select $1::text, $2::bigint, left(translate(encode(sha256(convert_to($1::text || number, 'UTF8')), 'base64'), '+/', '-_'), 20),
       'user-' || lpad(number::text, 8, '0'), 1,
       (array['paid','paid','paid','paid','paid','paid','reserved','reserved','expired','cancelled'])[number % 10 + 1],
       now() + interval '30 minutes', to_timestamp($2::bigint / 1000.0), case when number % 10 < 6 then 'pay-' || number end, now()
  from generate_series(1, $3::bigint) as number
"""
EVENTS = """
insert into order_events (sale_id, epoch, order_id, state, at, message_id)
select sale_id, epoch, order_id, state, updated_at, 'bench' from orders where sale_id = $1 and state <> 'reserved'
union all
select sale_id, epoch, order_id, 'reserved', reserved_at, 'bench' from orders where sale_id = $1
"""
PAYMENTS = """
insert into payments (payment_id, sale_id, epoch, order_id, status, result, reason, amount_minor, currency, at)
select payment_id, sale_id, epoch, order_id, 'succeeded', 'paid', '', 999, 'EUR', updated_at from orders
 where sale_id = $1 and state = 'paid'
"""


class Seed(NamedTuple):
    sale_id: str
    orders: int


async def seed_ledger(ledger: "asyncpg.Connection[asyncpg.Record]", seed: Seed, epoch_ms: int) -> None:
    """The stock is one unit more than the orders need, so that exactly one more order is accepted."""
    units = sum(number % 10 < 8 for number in range(1, seed.orders + 1))
    async with ledger.transaction():
        await ledger.execute(DEFINE, seed.sale_id, epoch_ms, units + 1)
        await seed_orders(ledger, seed, epoch_ms)


async def seed_orders(ledger: "asyncpg.Connection[asyncpg.Record]", seed: Seed, epoch_ms: int) -> None:
    """The orders of a sale that the ledger has, with their history and payments."""
    await ledger.execute(ORDERS, seed.sale_id, epoch_ms, seed.orders)
    for statement in (EVENTS, PAYMENTS):
        await ledger.execute(statement, seed.sale_id)
