"""The timeout-worker over many sales at once, with real Redis and RabbitMQ: few round trips, and a broken sale is nobody else's trouble."""

import asyncio
from collections import Counter
from collections.abc import Mapping

import pytest

from flashsale_core import topology
from flashsale_core.keys import sale_keys, shard_keys
from flashsale_core.messages import OrdersExpired, join, read
from flashsale_redis import infos
from tests.integration.broker import consuming, open_broker, until
from tests.integration.conftest import REDIS_MASTERS
from tests.integration.test_timeout_worker import QUEUE, Shop, ids, open_shop

SALES = [f"s{number:03}" for number in range(200)]
BROKEN = SALES[77]
OTHERS = [sale for sale in SALES if sale != BROKEN]
ONCE = Counter((sale, order_id) for sale in OTHERS for order_id in ids(3))


async def opened(shop: Shop) -> list[bytes]:
    """The sales, each with 3 of 5 units held since long; returns their messages. One of them is broken."""
    for sale in SALES:
        await shop.open(sale, 5)
    bodies = [await shop.reserve(sale, ids(3), seconds_ago=6) for sale in SALES]
    await shop.redis.hincrby(sale_keys(BROKEN).sale, "sold", 1)
    return bodies


async def are_back(shop: Shop) -> bool:
    return {await shop.stock(sale) for sale in OTHERS} == {(5, 0, 0)}


async def given_back(shop: Shop) -> Counter[tuple[str, str]]:
    """How often the outbox tells of an order of a sale that it expired."""
    told: Counter[tuple[str, str]] = Counter()
    for shard in range(shop.settings.shards):
        for _, fields in await shop.redis.xrange(shard_keys(shard).outbox):
            for message in read(fields[b"b"]).messages:
                if isinstance(message, OrdersExpired):
                    told.update((message.sale, line.order_id) for line in message.orders)
    return told


def test_a_message_of_two_hundred_sales_is_expired_and_parked_for_the_broken_one_among_them(infra: Mapping[str, str]) -> None:
    async def run() -> None:
        async with open_shop(infra) as shop, open_broker(infra["AMQP_URL"]) as broker:
            body = join(await opened(shop))
            await broker.publish(QUEUE, body)
            async with consuming(shop.waits()):
                await until(lambda: are_back(shop))
            parked = await broker.take_all(topology.PARKED_TIMEOUT_QUEUE)
            assert [(one.body, one.headers["x-reason"]) for one in parked] == [(body, "rejected")]
            assert "INVARIANT" in str(parked[0].headers["x-error"])
            assert await shop.stock(BROKEN) == (2, 3, 1)
            assert await given_back(shop) == ONCE
            assert await broker.take_all(QUEUE) == []

    asyncio.run(run())


def test_a_redis_that_forgot_the_scripts_sweeps_them_all_the_same(infra: Mapping[str, str]) -> None:
    async def run() -> None:
        async with open_shop(infra) as shop:
            await opened(shop)
            await shop.redis.script_flush()
            assert await shop.sweeper().sweep() == 600
            assert (await given_back(shop), await shop.stock(BROKEN)) == (ONCE, (2, 3, 1))
            # The broken one stays, and is passed over again.
            assert await shop.sweeper().sweep() == 3

    asyncio.run(run())


def test_messages_and_sweeps_of_the_same_holds_at_once_give_each_unit_back_once(infra: Mapping[str, str]) -> None:
    async def run() -> None:
        async with open_shop(infra) as shop, open_broker(infra["AMQP_URL"]) as broker:
            bodies = await opened(shop)
            await broker.publish(QUEUE, *[join(bodies[start : start + 40]) for start in range(0, 200, 40)] * 2)
            async with consuming(shop.waits(), shop.waits()):
                await asyncio.gather(shop.sweeper().sweep(), shop.sweeper().sweep())
                await until(lambda: are_back(shop))
            assert await given_back(shop) == ONCE

    asyncio.run(run())


@pytest.mark.skipif(REDIS_MASTERS > 1, reason="a cluster's client opens connections as it needs them")
def test_a_sweep_at_rest_is_one_round_trip(infra: Mapping[str, str]) -> None:
    async def reads(shop: Shop) -> int:
        return sum(int(info["total_reads_processed"]) for info in (await infos(shop.redis)).values())

    async def run() -> int:
        async with open_shop(infra) as shop:
            await shop.open("shoe", 5)
            await shop.reserve("shoe", ["fresh"])
            sweeper = shop.sweeper()
            assert await sweeper.sweep() == 0
            before = await reads(shop)
            for _ in range(10):
                await sweeper.sweep()
            # Asking for it is a read, too.
            return await reads(shop) - before - 1

    assert asyncio.run(run()) == 10
