"""What the recovery reads of a ledger whose Redis was never opened: an earlier release sold there."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
import pytest

from flashsale_core.keys import SHARDS_DEFAULT, sale_keys, shard_keys, shard_of
from flashsale_order_worker.plan import plan
from flashsale_recovery.facts import NEW, LedgerFacts
from flashsale_recovery.ledger import Ledger
from flashsale_recovery.ledger_facts import read_facts
from flashsale_redis import open_redis
from tests.fences import empty_redis
from tests.integration.ledger import open_ledger
from tests.integration.order_events import STORY, defined, open_repository

SHARD = shard_of("shoe")


class Old:
    """An installation of an earlier release: no fences, and a ledger without incarnations."""

    def __init__(self, redis: Any, ledger: Ledger) -> None:
        self.redis, self.ledger = redis, ledger

    async def facts(self) -> LedgerFacts:
        return await read_facts(self.ledger, self.redis, SHARDS_DEFAULT)

    async def sell(self, *sales: str) -> None:
        for sale in sales:
            await self.redis.sadd(shard_keys(shard_of(sale)).sales, sale)


@pytest.fixture
async def old(infra: Mapping[str, str]) -> AsyncIterator[Old]:
    """The sale `shoe` was removed and defined again: the ledger's row of the first one still says `open`."""
    first, second = msgspec.structs.replace(defined(1, 100, 10), epoch=6), defined(1, 200, 10)
    async with (
        open_repository(infra["DATABASE_URL"]) as repository,
        open_ledger(infra["DATABASE_URL"]) as tables,
        open_redis(infra["REDIS_URL"], 5, 4) as redis,
    ):
        await repository.write(plan([("m1", first), ("m2", second)]))
        await empty_redis(redis)
        yield Old(redis, Ledger(tables.connection))
        await empty_redis(redis)


async def test_emptied_redis_lacks_the_sales_of_the_ledger(old: Old) -> None:
    facts = await old.facts()
    assert (facts.lacking, dict(facts.doubtful)) == (frozenset({SHARD}), {})


async def test_redis_that_is_emptied_during_its_first_opening_lacks_the_sales(old: Old) -> None:
    every = range(SHARDS_DEFAULT)
    await old.ledger.add(dict.fromkeys(every, 1), dict.fromkeys(every, 1), NEW, "a")
    facts = await old.facts()
    assert (facts.lacking, dict(facts.doubtful)) == (frozenset({SHARD}), {})


async def test_redis_with_all_sales_lacks_nothing(old: Old) -> None:
    await old.sell("shoe", "other")
    facts = await old.facts()
    assert (facts.lacking, dict(facts.doubtful)) == (frozenset(), {})


async def test_redis_with_other_sales_is_doubtful(old: Old) -> None:
    await old.sell("other")
    facts = await old.facts()
    assert (facts.lacking, dict(facts.doubtful)) == (frozenset(), {SHARD: "shoe"})


async def test_sale_with_a_tombstone_is_not_lacking(old: Old) -> None:
    await old.redis.hset(sale_keys("shoe").sale, "removed_epoch", "7")
    facts = await old.facts()
    assert (facts.lacking, dict(facts.doubtful)) == (frozenset(), {})


async def test_old_open_row_of_a_removed_name_is_no_sale(old: Old, infra: Mapping[str, str]) -> None:
    async with open_repository(infra["DATABASE_URL"]) as repository:
        await repository.write(plan([("m3", STORY[-1])]))
    facts = await old.facts()
    assert (facts.lacking, dict(facts.doubtful)) == (frozenset(), {})
