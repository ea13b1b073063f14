"""The timeout-worker with many sales at once, real Redis and RabbitMQ: few round trips, and a broken sale does not affect others."""

import asyncio
from collections import Counter
from collections.abc import Mapping

import pytest

from flashsale_core import topology
from flashsale_core.keys import sale_keys, shard_keys
from flashsale_core.messages import OrdersExpired, join, read
from flashsale_redis import infos
from tests.conftest import REDIS_MASTERS
from tests.integration.broker import consuming, open_broker, until
from tests.integration.test_timeout_worker import QUEUE, Shop, ids, open_shop

SALES = [f"s{number:03}" for number in range(200)]
BROKEN = SALES[77]
OTHERS = [sale for sale in SALES if sale != BROKEN]
ONCE = Counter((sale, order_id) for sale in OTHERS for order_id in ids(3))


async def opened(shop: Shop) -> list[bytes]:
    """Open all sales, each with 3 of 5 units in overdue holds, and break one of them; returns their messages."""
    for sale in SALES:
        await shop.open(sale, 5)
    bodies = [await shop.reserve(sale, ids(3), seconds_ago=6) for sale in SALES]
    await shop.redis.hincrby(sale_keys(BROKEN).sale, "sold", 1)
    return bodies


async def are_released(shop: Shop) -> bool:
    return {await shop.stock(sale) for sale in OTHERS} == {(5, 0, 0)}


async def expired_counts(shop: Shop) -> Counter[tuple[str, str]]:
    """How often the outbox reports each (sale, order) as expired."""
    counts: Counter[tuple[str, str]] = Counter()
    for shard in range(shop.settings.shards):
        for _, fields in await shop.redis.xrange(shard_keys(shard).outbox):
            for message in read(fields[b"b"]).messages:
                if isinstance(message, OrdersExpired):
                    counts.update((message.sale, line.order_id) for line in message.orders)
    return counts


async def test_message_of_many_sales_is_expired_and_parked_for_a_broken_one(infra: Mapping[str, str]) -> None:
    async with open_shop(infra) as shop, open_broker(infra["AMQP_URL"]) as broker:
        body = join(await opened(shop))
        await broker.publish(QUEUE, body)
        async with consuming(shop.consumer()):
            await until(lambda: are_released(shop))
        parked = await broker.take_all(topology.PARKED_TIMEOUT_QUEUE)
        assert [(message.body, message.headers["x-reason"]) for message in parked] == [(body, "rejected")]
        assert "INVARIANT" in str(parked[0].headers["x-error"])
        assert await shop.stock(BROKEN) == (2, 3, 1)
        assert await expired_counts(shop) == ONCE
        assert await broker.take_all(QUEUE) == []


async def test_sweep_loads_the_scripts_into_a_redis_that_lost_them(infra: Mapping[str, str]) -> None:
    async with open_shop(infra) as shop:
        await opened(shop)
        await shop.redis.script_flush()
        assert await shop.sweeper().sweep() == 600
        assert (await expired_counts(shop), await shop.stock(BROKEN)) == (ONCE, (2, 3, 1))
        # The orders of the broken sale stay, and every sweep finds them again.
        assert await shop.sweeper().sweep() == 3


async def test_concurrent_messages_and_sweeps_release_each_unit_once(infra: Mapping[str, str]) -> None:
    async with open_shop(infra) as shop, open_broker(infra["AMQP_URL"]) as broker:
        bodies = await opened(shop)
        await broker.publish(QUEUE, *[join(bodies[start : start + 40]) for start in range(0, 200, 40)] * 2)
        async with consuming(shop.consumer(), shop.consumer()):
            await asyncio.gather(shop.sweeper().sweep(), shop.sweeper().sweep())
            await until(lambda: are_released(shop))
        assert await expired_counts(shop) == ONCE


@pytest.mark.skipif(REDIS_MASTERS > 1, reason="a cluster's client opens connections as it needs them")
async def test_idle_sweep_is_two_round_trips(infra: Mapping[str, str]) -> None:
    async def reads(shop: Shop) -> int:
        return sum(int(info["total_reads_processed"]) for info in (await infos(shop.redis)).values())

    async with open_shop(infra) as shop:
        await shop.open("shoe", 5)
        await shop.reserve("shoe", ["fresh"])
        sweeper = shop.sweeper()
        assert await sweeper.sweep() == 0
        before = await reads(shop)
        for _ in range(10):
            await sweeper.sweep()
        # One asks for the server's role, one for the deadlines. Reading the counter is a read itself.
        assert await reads(shop) - before - 1 == 20
