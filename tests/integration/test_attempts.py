"""Two recoveries of one incarnation, and incarnations that only Redis knows."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from redis.asyncio import Redis

from flashsale_core.fence import Fence
from flashsale_core.keys import SHARDS_DEFAULT, shard_keys
from flashsale_core.scripts import read_scripts
from flashsale_recovery.facts import Installation, LedgerFacts, ServerView, restricted
from flashsale_recovery.fencing import Changed, Fencing
from flashsale_recovery.ledger import Ledger
from flashsale_recovery.outcome import Options
from flashsale_recovery.recovery import Recovery
from flashsale_recovery.servers import look
from flashsale_recovery.steps import Record
from flashsale_redis import open_redis
from tests.fences import empty_redis
from tests.integration.ledger import open_ledger

SCRIPTS = read_scripts(Path(__file__).parents[2] / "lua")
OURS = Installation("flashsale", "3f0c", SHARDS_DEFAULT)


@pytest.fixture
async def redis(infra: Mapping[str, str]) -> AsyncIterator[Redis]:
    async with open_redis(infra["REDIS_URL"], 5, 4) as redis:
        await empty_redis(redis)
        yield redis
        await empty_redis(redis)


async def seen(redis: Redis) -> ServerView:
    (*_, view) = [each for each in (await look(redis, range(SHARDS_DEFAULT), 5)).servers if 0 in each.fences]
    return restricted(view, [0])


async def begin(redis: Redis, fencing: Fencing) -> tuple[dict[int, Fence], str]:
    """Begin incarnation 2 of shard 0."""
    view = await seen(redis)
    return await fencing.close(await fencing.halt(view), {0: 2}, {0: 1_000_001}, view.replid), view.replid


async def test_recovery_that_another_one_overtook_changes_nothing(redis: Redis) -> None:
    frozen, other = Fencing(redis, SCRIPTS, OURS), Fencing(redis, SCRIPTS, OURS)
    before, replid = await begin(redis, frozen)
    after, _ = await begin(redis, other)
    # Incarnation and state are the same as when it was frozen.
    with pytest.raises(Changed):
        await frozen.open(before, replid)
    assert (await other.open(after, replid))[0].state == "open"


async def test_ledger_that_learns_an_incarnation_closes_those_before(redis: Redis, infra: Mapping[str, str]) -> None:
    await redis.hset(shard_keys(0).fence, mapping={"incarnation": 4, "kept": "3:70", "seq": 3_000_000})
    async with open_ledger(infra["DATABASE_URL"]) as tables:
        ledger = Ledger(tables.connection)
        for incarnation, first_seq in ((2, 20), (3, 50)):
            await ledger.add({0: first_seq}, {0: incarnation}, "open", "a")
        recovery = Recovery(redis, SCRIPTS, ledger, LedgerFacts(OURS), Options("amqp://unused"))
        await recovery.record(await seen(redis), Record([0]))
        rows = await tables.connection.fetch("select incarnation, kept_seq, state from shards order by 1")
        assert [tuple(row) for row in rows] == [(2, 19, "open"), (3, 70, "open"), (4, None, "open")]
