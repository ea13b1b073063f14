"""The sweeper: page after page, all shards, and a broken sale in nobody's way."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from flashsale_core.errors import Rejected, Retryable
from flashsale_core.settings import Environment
from flashsale_timeout_worker.expiry import Expired, Expiry
from flashsale_timeout_worker.settings import Settings, read_settings
from flashsale_timeout_worker.sweeper import Sweeper

BROKEN = "broken"


class Shards(Expiry):
    """Overdue orders by shard, in memory; those of the sale `broken` cannot be expired."""

    def __init__(self, shards: Mapping[int, Sequence[tuple[str, str]]]) -> None:
        self.left = {shard: list(orders) for shard, orders in shards.items()}
        self.away = False
        self.shards_away: set[int] = set()

    async def overdue(self, shard: int, grace_ms: int, limit: int, skip: int = 0) -> dict[str, list[str]]:
        if self.away or shard in self.shards_away:
            raise Retryable("away")
        found: dict[str, list[str]] = {}
        for sale_id, order_id in self.left.get(shard, [])[skip : skip + limit]:
            found.setdefault(sale_id, []).append(order_id)
        return found

    async def expire(self, sale_id: str, order_ids: Sequence[str], source: str) -> list[Expired]:
        if sale_id == BROKEN:
            raise Rejected("INVARIANT")
        gone = {(sale_id, order_id) for order_id in order_ids}
        self.left = {shard: [order for order in orders if order not in gone] for shard, orders in self.left.items()}
        return [Expired(order_id, 1, 0) for order_id in order_ids]


@pytest.fixture
def settings() -> Settings:
    return read_settings(Environment({"AMQP_URL": "amqp://broker/", "REDIS_URL": "redis://sales/"}))


def orders(sale_id: str, count: int) -> list[tuple[str, str]]:
    return [(sale_id, f"o{number}") for number in range(count)]


def test_all_shards_are_swept_to_the_last_page(settings: Settings) -> None:
    shards = Shards({0: orders("shoe", 1100), 15: orders("hat", 512)})
    assert (asyncio.run(Sweeper(shards, settings).sweep()), shards.left) == (1612, {0: [], 15: []})


def test_one_sweep_is_bounded(settings: Settings) -> None:
    shards = Shards({0: orders("shoe", 1100)})
    assert asyncio.run(Sweeper(shards, replace(settings, sweep_pages_max=2)).sweep()) == 1024
    assert len(shards.left[0]) == 76


def test_a_broken_sale_does_not_hold_up_its_shard(settings: Settings) -> None:
    broken = orders(BROKEN, 700)
    shards = Shards({3: [*broken, *orders("shoe", 600)], 4: orders("hat", 1)})
    asyncio.run(Sweeper(shards, settings).sweep())
    assert shards.left == {3: broken, 4: []}


def test_a_shard_whose_master_is_away_holds_up_no_other(settings: Settings) -> None:
    shards = Shards({0: orders("shoe", 2), 15: orders("hat", 3)})
    shards.shards_away = {0}
    sweeper = Sweeper(shards, settings)
    with pytest.raises(Retryable, match="away"):
        asyncio.run(sweeper.sweep())
    assert (shards.left, sweeper.fault) == ({0: orders("shoe", 2), 15: []}, "away")


def test_a_sweep_cut_short_is_told_and_the_next_one_forgets_it(settings: Settings) -> None:
    shards = Shards({0: orders("shoe", 3)})
    shards.away = True
    sweeper = Sweeper(shards, replace(settings, sweep_interval_ms=10, retry_seconds=0.01))

    async def run() -> list[str | None]:
        task = asyncio.create_task(sweeper.run())
        faults = [await _until(lambda: sweeper.fault is not None, sweeper)]
        shards.away = False
        faults.append(await _until(lambda: sweeper.fault is None, sweeper))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return faults

    assert (asyncio.run(run()), shards.left) == (["away", None], {0: []})


async def _until(condition: Callable[[], bool], sweeper: Sweeper) -> str | None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the sweeper announces nothing
            await asyncio.sleep(0.005)
    return sweeper.fault
