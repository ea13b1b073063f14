"""The sweeper expires all shards page by page, and a broken sale does not hold up others."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from flashsale_core.errors import Rejected, Retryable
from flashsale_core.settings import Environment
from flashsale_timeout_worker.calls import CHUNK, by_sale
from flashsale_timeout_worker.expiry import Expired, Expiry, Fault, Outcome, Overdue, Page
from flashsale_timeout_worker.settings import Settings, read_settings
from flashsale_timeout_worker.sweeper import SHARDS_MAX, Sweeper, next_offsets

BROKEN = "broken"


class Shards(Expiry):
    """Overdue orders by shard, in memory. Each shard is a slot group, and orders of the sale `broken` cannot be expired."""

    def __init__(self, shards: Mapping[int, Sequence[tuple[str, str]]]) -> None:
        self.left = {shard: list(orders) for shard, orders in shards.items()}
        self.slot_groups = [[shard] for shard in range(16)]
        self.away = False
        self.shards_away: set[int] = set()
        self.refusing: set[int] = set()
        self.looks = self.pages_read = 0

    async def overdue(self, shards: Sequence[int], grace_ms: int) -> Overdue:
        self.looks += 1
        if self.away or self.shards_away & set(shards):
            raise Retryable("away")
        return Overdue([shard for shard in shards if self.left.get(shard) or shard in self.refusing], 0)

    async def pages(self, offsets: Mapping[int, int], latest_ms: int, limit: int) -> dict[int, Page | Fault]:
        self.pages_read += 1
        members = {shard: self.left.get(shard, [])[offset : offset + limit] for shard, offset in offsets.items()}
        return {
            shard: Rejected("WRONGTYPE") if shard in self.refusing else by_sale("|".join(order) for order in orders)
            for shard, orders in members.items()
        }

    async def expire(self, orders: Mapping[str, Sequence[str]], source: str) -> dict[str, Outcome]:
        gone = {(sale_id, order_id) for sale_id, order_ids in orders.items() if sale_id != BROKEN for order_id in order_ids}
        self.left = {shard: [order for order in held if order not in gone] for shard, held in self.left.items()}
        return {
            sale_id: Outcome([], Rejected("INVARIANT"))
            if sale_id == BROKEN
            else Outcome([Expired(order_id, 1, 0) for order_id in order_ids])
            for sale_id, order_ids in orders.items()
        }


@pytest.fixture
def settings() -> Settings:
    return read_settings(Environment({"AMQP_URL": "amqp://broker/", "REDIS_URL": "redis://sales/"}))


def orders(sale_id: str, count: int) -> list[tuple[str, str]]:
    return [(sale_id, f"o{number}") for number in range(count)]


async def test_all_shards_are_swept_to_the_last_page(settings: Settings) -> None:
    shards = Shards({0: orders("shoe", 1100), 15: orders("hat", 512)})
    assert (await Sweeper(shards, settings).sweep(), shards.left) == (1612, {0: [], 15: []})


async def test_slot_group_is_read_together_and_an_idle_sweep_reads_no_page(settings: Settings) -> None:
    shards = Shards({shard: orders(f"s{shard}", 3) for shard in range(SHARDS_MAX + 1)})
    shards.slot_groups = [list(range(SHARDS_MAX + 1))]
    overdue = [await Sweeper(shards, settings).sweep() for _ in range(2)]
    assert (overdue, shards.looks, shards.pages_read) == ([3 * (SHARDS_MAX + 1), 0], 2, 2)


async def test_sweep_is_bounded_in_pages(settings: Settings) -> None:
    shards = Shards({0: orders("shoe", 1100)})
    assert await Sweeper(shards, replace(settings, sweep_pages_max=2)).sweep() == 1024
    assert len(shards.left[0]) == 76


async def test_broken_sale_does_not_hold_up_its_shard(settings: Settings) -> None:
    broken = orders(BROKEN, 700)
    shards = Shards({3: [*broken, *orders("shoe", 600)], 4: orders("hat", 1)})
    await Sweeper(shards, settings).sweep()
    assert shards.left == {3: broken, 4: []}


async def test_broken_sale_longer_than_a_sweep_does_not_starve_its_shard(settings: Settings) -> None:
    broken = orders(BROKEN, 3 * CHUNK)
    shards = Shards({3: [*broken, *orders("shoe", 600)]})
    sweeper = Sweeper(shards, replace(settings, sweep_pages_max=2))
    overdue = [await sweeper.sweep() for _ in range(3)]
    assert (overdue, shards.left) == ([2 * CHUNK, 2 * CHUNK, 600 - CHUNK], {3: broken})
    # After the end it starts at the front again, so orders of a repaired sale are found.
    assert await sweeper.sweep() == 2 * CHUNK


async def test_shard_whose_master_is_away_does_not_hold_up_others(settings: Settings) -> None:
    shards = Shards({0: orders("shoe", 2), 15: orders("hat", 3)})
    shards.shards_away = {0}
    sweeper = Sweeper(shards, settings)
    with pytest.raises(Retryable, match="away"):
        await sweeper.sweep()
    assert (shards.left, sweeper.fault) == ({0: orders("shoe", 2), 15: []}, "away")


async def test_unreadable_shard_does_not_hold_up_its_slot_group(settings: Settings) -> None:
    shards = Shards({1: orders("hat", 3)})
    shards.slot_groups, shards.refusing = [[0, 1]], {0}
    with pytest.raises(Rejected, match="WRONGTYPE"):
        await Sweeper(shards, settings).sweep()
    assert shards.left == {1: []}


def test_full_page_has_a_next_offset_unless_redis_is_away() -> None:
    full = [f"o{number}" for number in range(CHUNK)]
    pages = {0: {"shoe": full[:500], BROKEN: full[500:]}, 1: {"hat": full[1:]}, 2: {"coat": full[9:], "away": full[:9]}, 3: {}}
    faults: Mapping[str, Fault] = {BROKEN: Rejected("INVARIANT"), "away": Retryable("away")}
    outcomes = {sale_id: Outcome([], faults.get(sale_id)) for page in pages.values() for sale_id in page}
    assert next_offsets(dict.fromkeys(pages, 100), pages, outcomes) == {0: 112}


async def test_failed_sweep_sets_a_fault_and_the_next_one_clears_it(settings: Settings) -> None:
    shards = Shards({0: orders("shoe", 3)})
    shards.away = True
    sweeper = Sweeper(shards, replace(settings, sweep_interval_ms=10, retry_seconds=0.01))
    task = asyncio.create_task(sweeper.run())
    faults = [await _until(lambda: sweeper.fault is not None, sweeper)]
    shards.away = False
    faults.append(await _until(lambda: sweeper.fault is None, sweeper))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (faults, shards.left) == (["away", None], {0: []})


async def _until(condition: Callable[[], bool], sweeper: Sweeper) -> str | None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the sweeper has no event for this
            await asyncio.sleep(0.005)
    return sweeper.fault
