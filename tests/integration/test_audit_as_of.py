"""What the ledger had at a moment of Redis' clock is what Redis had then, whatever happened afterwards."""

from typing import Any

import asyncpg

from flashsale_audit.as_of import AsOf, Bounds, Units
from flashsale_audit.audit_all import Options
from flashsale_audit.facts import Released
from flashsale_cli.audit.stores import audit_stores
from flashsale_cli.environment import CliEnvironment
from flashsale_local_stack import Stack, wait_until
from flashsale_redis import open_redis
from tests.integration.client import Client


async def moment_of(redis: Any) -> int:
    """A millisecond of Redis' clock in which no script ran, as far as this test calls any."""
    before, now = await redis.time(), await redis.time()
    while now[0] * 1000 + now[1] // 1000 < before[0] * 1000 + before[1] // 1000 + 2:
        now = await redis.time()
    return int(before[0] * 1000 + before[1] // 1000 + 1)


async def test_units_and_orders_of_a_moment_lack_what_came_later(stack: Stack, client: Client) -> None:
    sale, moments = client.new_sale(20, maxPerUser=None), list[int]()
    async with open_redis(stack.env()["REDIS_URL"], 10, 1) as redis:
        moments.append(await moment_of(redis))
        first = client.order(sale, "ann", 2, "r1").body["orderId"]
        moments.append(await moment_of(redis))
        second = client.order(sale, "ann", 3, "r2").body["orderId"]
        moments.append(await moment_of(redis))
        assert client.send("DELETE", f"/orders/{first}").status == 200
        moments.append(await moment_of(redis))
        assert client.pay(second, f"pay-{sale}").status == 200
        moments.append(await moment_of(redis))
        assert client.take_back(second, restock=True).status == 200
        moments.append(await moment_of(redis))
    assert (await audit_stores(CliEnvironment(stack.env()), Options([sale]), 60)).clean()
    database = await asyncpg.connect(stack.env()["DATABASE_URL"])
    try:
        ledger, epoch = AsOf(database), await database.fetchval("select epoch from sales where sale_id = $1", sale)
        units = [await ledger.units(sale, epoch, {"ann": moment, "nobody\0": moment}) for moment in moments]
        assert [of["ann"] for of in units] == [Units(held, is_exact=True) for held in (0, 2, 5, 3, 3, 0)]
        assert units[0]["nobody\0"] == Units(0, is_exact=True)
        assert [await ledger.orders(sale, epoch, moment) for moment in moments] == [Bounds(count, count) for count in (0, 1, 2, 2, 2, 2)]
        reserved_ms = await database.fetchval(
            "select (extract(epoch from reserved_at) * 1000)::bigint from orders where sale_id = $1 and user_id = 'ann' and quantity = 3",
            sale,
        )
        assert await ledger.units(sale, epoch, {"ann": reserved_ms}) == {"ann": Units(2, is_exact=False)}
        assert await ledger.orders(sale, epoch, reserved_ms) == Bounds(1, 2)
        released = [await ledger.released(sale, epoch, {"ann": moment, "nobody\0": moment}) for moment in moments]
        assert [of["ann"] for of in released] == [Released(1, 1, before) for before in (0, 0, 0, 1, 1, 1)]
        assert released[0]["nobody\0"] == Released(0, 0, 0)
        cancelled_ms = await database.fetchval(
            "select (extract(epoch from at) * 1000)::bigint from order_events where sale_id = $1 and state = 'cancelled'", sale
        )
        assert await ledger.released(sale, epoch, {"ann": cancelled_ms}) == {"ann": Released(1, 1, None)}
    finally:
        await database.close()


async def test_order_that_was_paid_late_counts_as_released_since_it_expired(stack: Stack, client: Client) -> None:
    sale, moments = client.new_sale(20, paymentWindowSeconds=5, latePayment="reacquire"), list[int]()
    async with open_redis(stack.env()["REDIS_URL"], 10, 1) as redis:
        order = client.order(sale, "ann", 1, "r1").body["orderId"]
        moments.append(await moment_of(redis))
        assert wait_until(lambda: client.stock(sale) == (20, 20, 0, 0), 30)
        moments.append(await moment_of(redis))
        assert client.pay(order, f"pay-{sale}").body["result"] == "paid"
        moments.append(await moment_of(redis))
    assert (await audit_stores(CliEnvironment(stack.env()), Options([sale]), 60)).clean()
    database = await asyncpg.connect(stack.env()["DATABASE_URL"])
    try:
        epoch = await database.fetchval("select epoch from sales where sale_id = $1", sale)
        released = [(await AsOf(database).released(sale, epoch, {"ann": moment}))["ann"] for moment in moments]
        assert released == [Released(1, 1, before) for before in (0, 1, 1)]
    finally:
        await database.close()
