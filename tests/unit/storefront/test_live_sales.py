"""Sales in memory: what is read, kept, given up and refused. The reads are faked: their time is the point, not Redis."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from flashsale_core.errors import Retryable
from flashsale_core.tasks import cancel_and_wait
from flashsale_storefront.live_sales import LiveSales, WatchedSale
from flashsale_storefront.problems import Problem
from flashsale_storefront.source import Reading
from tests.unit.storefront.test_documents import FIELDS


class Redis:
    """Answers with `sales`; None stands for a shard that is not open."""

    def __init__(self) -> None:
        self.sales: dict[str, dict[str, str] | None] = {"shoe": dict(FIELDS)}
        self.reads: list[list[str]] = []
        self.is_away = False

    async def read(self, sale_ids: Sequence[str]) -> Reading:
        self.reads.append(list(sale_ids))
        if self.is_away:
            raise Retryable("away")
        return Reading(2000, asyncio.get_running_loop().time(), {sale_id: self.sales.get(sale_id, {}) for sale_id in sale_ids})


class Audience:
    def __init__(self) -> None:
        self.published: list[str] = []
        self.ended: list[str] = []

    def publish(self, sale: WatchedSale) -> None:
        self.published.append(sale.content.state)

    def end(self, sale: WatchedSale) -> None:
        self.ended.append(sale.sale_id)


@asynccontextmanager
async def opened(redis: Redis, audience: Audience, sales_max: int = 10) -> AsyncIterator[LiveSales]:
    sales = LiveSales(redis.read, audience, refresh_seconds=0.02, stale_seconds=0.1, watch_seconds=60, sales_max=sales_max)
    running = asyncio.create_task(sales.run())
    try:
        yield sales
    finally:
        await cancel_and_wait(running)


async def code_of(sales: LiveSales, sale_id: str) -> str:
    with pytest.raises(Problem) as caught:
        await sales.get(sale_id)
    return caught.value.code


async def test_crowd_that_asks_at_once_costs_one_read() -> None:
    redis = Redis()
    async with opened(redis, Audience()) as sales:
        watched = await asyncio.gather(*[sales.get("shoe") for _ in range(1000)])
        assert len(set(watched)) == 1
        assert json.loads(sales.body(watched[0]))["available"] == 3
        assert ["shoe"] in redis.reads


async def test_change_is_published_once() -> None:
    redis, audience = Redis(), Audience()
    async with opened(redis, audience) as sales:
        await sales.get("shoe")
        redis.sales["shoe"] = FIELDS | {"available": "0"}
        await asyncio.sleep(0.2)
    assert audience.published == ["on_sale", "sold_out"]


async def test_unknown_sale_is_answered_from_memory() -> None:
    redis = Redis()
    async with opened(redis, Audience()) as sales:
        assert [await code_of(sales, "nope") for _ in range(3)] == ["unknown_sale"] * 3
    assert sum("nope" in read for read in redis.reads) == 1


async def test_sale_of_a_closed_shard_becomes_recovering_at_once() -> None:
    redis, audience = Redis(), Audience()
    async with opened(redis, audience) as sales:
        sale = await sales.get("shoe")
        redis.sales["shoe"] = None
        await asyncio.sleep(0.1)
        assert not sales.is_known(sale)
        assert await code_of(sales, "other") == "unknown_sale"
    assert audience.published[-1] == "recovering"


async def test_redis_away_is_recovering_after_the_stale_time() -> None:
    redis, audience = Redis(), Audience()
    async with opened(redis, audience) as sales:
        sale = await sales.get("shoe")
        redis.is_away = True
        assert sales.is_known(sale)
        await asyncio.sleep(0.3)
        assert not sales.is_known(sale)
        assert await code_of(sales, "other") == "recovering"
        assert sales.fault == "away"
        redis.is_away = False
        await asyncio.sleep(0.2)
        assert sales.is_known(sale)
    assert audience.published == ["on_sale", "recovering", "on_sale"]


async def test_removed_sale_ends_its_streams() -> None:
    redis, audience = Redis(), Audience()
    async with opened(redis, audience) as sales:
        await sales.get("shoe")
        del redis.sales["shoe"]
        await asyncio.sleep(0.1)
        assert await code_of(sales, "shoe") == "unknown_sale"
    assert audience.ended == ["shoe"]


async def test_sale_without_streams_makes_room_for_another() -> None:
    redis = Redis()
    redis.sales |= {"hat": dict(FIELDS), "sock": dict(FIELDS)}
    async with opened(redis, Audience(), sales_max=1) as sales:
        shoe = await sales.get("shoe")
        hat = await sales.get("hat")
        assert sales.find("shoe") is None
        hat.streams.add(object())
        assert await code_of(sales, "sock") == "overloaded"
        assert sales.find("hat") is hat
        assert shoe.sale_id == "shoe"
