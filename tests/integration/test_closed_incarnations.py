"""How the keeper closes the incarnations of before: what of them is in Redis afterwards, and what a later loss takes away again."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from unittest.mock import AsyncMock

import asyncpg
import pytest

from flashsale_core.keys import shard_keys
from flashsale_core.ledger_locks import RECEIVING
from flashsale_core.positions import Range
from flashsale_recovery import entries, recovery
from flashsale_recovery.all_workers import WorkersCheck
from flashsale_recovery.entries import HOLES_POLL_SECONDS, Expected, wait_for_entries
from flashsale_recovery.facts import DrainState, Witnesses, restricted
from flashsale_recovery.fencing import Changed, Fencing
from flashsale_recovery.gateways import wait_for_gateways
from flashsale_recovery.ledger import Ledger
from flashsale_recovery.outcome import Options
from flashsale_recovery.rebuild import RebuildContext, RebuildReport
from flashsale_recovery.servers import look
from flashsale_redis import now_ms, open_redis
from tests.fences import SCRIPTS, empty_redis
from tests.integration.ledger import open_ledger


async def kept(infra: Mapping[str, str], *recoveries: tuple[int, int, int]) -> dict[int, int | None]:
    """`kept_seq` by incarnation, after recoveries that each begin an incarnation: (number, the one Redis was in, its last seq)."""
    async with open_ledger(infra["DATABASE_URL"]) as tables:
        ledger = Ledger(tables.connection)
        await ledger.add({0: 1}, {0: 1}, "open", "a")
        for incarnation, was_in, seq in recoveries:
            await ledger.add({0: incarnation * 1_000_000}, {0: incarnation}, "fenced", "b")
            await ledger.close_former({0: incarnation}, {0: (was_in, seq)}, "restoring")
        rows = await tables.connection.fetch("select incarnation, kept_seq from shards order by 1")
        return {row["incarnation"]: row["kept_seq"] for row in rows}


async def test_closed_incarnation_keeps_what_redis_had(infra: Mapping[str, str]) -> None:
    assert await kept(infra, (2, 1, 7)) == {1: 7, 2: None}


async def test_later_loss_lowers_what_every_incarnation_keeps(infra: Mapping[str, str]) -> None:
    assert await kept(infra, (2, 1, 7), (3, 2, 2_000_009)) == {1: 7, 2: 2_000_009, 3: None}
    # A copy from before the first recovery, and an emptied Redis.
    assert await kept(infra, (2, 1, 7), (3, 1, 5)) == {1: 5, 2: 1_999_999, 3: None}
    assert await kept(infra, (2, 1, 7), (3, 0, 0)) == {1: 0, 2: 1_999_999, 3: None}


async def test_entry_that_a_stopping_gateway_added_counts_as_lost(infra: Mapping[str, str]) -> None:
    """Redis came back at position 3. The gateway had been answered 5, and left it in the outbox as it stopped."""
    async with open_ledger(infra["DATABASE_URL"]) as tables, open_redis(infra["REDIS_URL"], 5, 4) as redis:
        await empty_redis(redis)
        for seq in (2, 5):
            await redis.xadd(shard_keys(0).outbox, {"k": "order.reserved.60", "b": f'{{"v":1,"seq":[0,1,{seq}]}}', "t": "1"})
        lost = await wait_for_entries(redis, Ledger(tables.connection), {(0, 1): Expected(1, 5, kept_seq=3)}, 0)
        assert lost == {(0, 1): [Range(1, 1), Range(3, 5)]}


async def test_repeated_recovery_waits_only_for_what_order_workers_would_still_write(infra: Mapping[str, str]) -> None:
    """An earlier attempt closed the incarnation at position 3, and 5 was given: 4 and 5 would be late."""
    async with open_ledger(infra["DATABASE_URL"]) as tables, open_redis(infra["REDIS_URL"], 5, 4) as redis:
        await empty_redis(redis)
        ledger = Ledger(tables.connection)
        await ledger.add({0: 1}, {0: 1}, "open", "a")
        await tables.connection.execute("update shards set opened_at = now()")
        await ledger.add({0: 1_000_005}, {0: 2}, "fenced", "b")
        assert [each.closed_seq for each in await ledger.ended(0, 2)] == [None]
        await ledger.close_former({0: 2}, {0: (1, 3)}, "restoring")
        (ended,) = await ledger.ended(0, 2)
        expected = {(0, 1): Expected(ended.first_seq, ended.last_seq(0), kept_seq=3, closed_seq=ended.closed_seq)}
        receive = "insert into received_entries (shard, incarnation, from_seq, to_seq) values (0, 1, $1, $2)"
        await tables.connection.execute(receive, 1, 2)
        other = await asyncpg.connect(infra["DATABASE_URL"])
        try:
            waiting = asyncio.create_task(wait_for_entries(redis, ledger, expected, 60))
            await asyncio.sleep(4 * HOLES_POLL_SECONDS)
            assert not waiting.done()
            await other.execute(receive, 3, 3)
            assert await asyncio.wait_for(waiting, 30) == {(0, 1): [Range(4, 5)]}
        finally:
            await other.close()


async def test_entries_that_wait_behind_a_frozen_worker_are_not_lost(infra: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker has got the messages of the frozen one, and waits for its transaction to end."""
    monkeypatch.setattr(entries, "SLOW_SECONDS", 0.1)
    monkeypatch.setattr(entries, "LIMITS_MAX", 60)
    url = infra["DATABASE_URL"]
    async with open_ledger(url) as tables, open_redis(infra["REDIS_URL"], 5, 4) as redis:
        await empty_redis(redis)
        frozen = await asyncpg.connect(url)
        try:
            writing = frozen.transaction()
            await writing.start()
            await frozen.execute("select pg_advisory_xact_lock_shared($1)", RECEIVING)
            waiting = asyncio.create_task(wait_for_entries(redis, Ledger(tables.connection), {(0, 1): Expected(1, 1, kept_seq=0)}, 1))
            await asyncio.sleep(2)
            assert not waiting.done()
            await writing.rollback()
            await frozen.execute("insert into received_entries (shard, incarnation, from_seq, to_seq) values (0, 1, 1, 1)")
            assert await waiting == {}
        finally:
            await frozen.close()


async def test_lost_entry_of_any_incarnation_is_reported_once(infra: Mapping[str, str]) -> None:
    """Incarnations 1 to 3 ended at 5, 1,000,006 and 2,000,007; the ledger lacks 4 and 5, all of the second, and nothing of the third."""
    async with open_ledger(infra["DATABASE_URL"]) as tables:
        ledger = Ledger(tables.connection)
        for incarnation, first_seq in enumerate((1, 1_000_005, 2_000_006, 3_000_007), 1):
            await ledger.add({0: first_seq}, {0: incarnation}, "open", "a")
        await tables.connection.execute(
            "insert into received_entries (shard, incarnation, from_seq, to_seq) values (0, 1, 1, 3), (0, 3, 2000006, 2000007)"
        )
        assert [ended.incarnation for ended in await ledger.ended(0, 4)] == [1, 2, 3]
        await ledger.set_open({0: 4}, "b", {(0, 1): [Range(4, 4)], (0, 2): [Range(1_000_005, 1_000_006)]})
        assert (await ledger.facts()).lately_lost == 3
        # What was not reported is still expected; the last incarnation always is.
        assert [(ended.incarnation, ended.last_seq(0)) for ended in await ledger.ended(0, 4)] == [(1, 5), (3, 2_000_007)]
        assert await ledger.settled(0, 1, 1) == [Range(1, 4)]
        lost = await tables.connection.fetchval("select lost_entries from shards where incarnation = 4")
        assert lost == 3


async def test_reopening_gives_up_when_a_slow_worker_had_more_than_redis(infra: Mapping[str, str]) -> None:
    """The marker of the drain passed one order-worker while another was writing an entry that this Redis does not have."""
    url = infra["DATABASE_URL"]
    worker = await asyncpg.connect(url)
    async with open_ledger(url) as tables, open_redis(infra["REDIS_URL"], 5, 4) as redis:
        await empty_redis(redis)
        ledger = Ledger(tables.connection)
        await ledger.add({0: 1}, {0: 1}, "open", "a")
        (server,) = (await look(redis, [0], 5)).servers
        writing = worker.transaction()
        await writing.start()
        await worker.execute("select pg_advisory_xact_lock_shared($1)", RECEIVING)
        await worker.execute("insert into received_entries (shard, incarnation, from_seq, to_seq) values (0, 1, 1, 1)")
        reopener = recovery.Recovery(redis, SCRIPTS, ledger, await ledger.facts(), Options(infra["AMQP_URL"]))
        reopening = asyncio.create_task(reopener.reopen(restricted(server, [0]), Witnesses()))
        assert not (await asyncio.wait({reopening}, timeout=0.5))[0]
        await writing.commit()
        await worker.close()
        with pytest.raises(Changed, match="received more"):
            await reopening
        (server,) = (await look(redis, [0], 5)).servers
        assert server.fences[0].state == "fenced"
        await empty_redis(redis)


async def test_gateway_must_attest_to_each_shard_twice(infra: Mapping[str, str]) -> None:
    """On a cluster it attests to each slot by itself, so what it holds of one shard may be from before the fence."""
    async with open_redis(infra["REDIS_URL"], 5, 4) as redis:
        await empty_redis(redis)
        client: Any = redis

        async def attest(shard: int, at_ms: int, held: int = 0) -> None:
            await client.hset(shard_keys(shard).gateways, "g", f"7:{held}:{at_ms}")

        for shard in (0, 1):
            await attest(shard, 1)
        waiting = asyncio.create_task(wait_for_gateways(redis, [0, 1], frozenset({"g"}), 5))
        for at_ms in (2, 3, 4):
            await asyncio.sleep(0.25)
            await attest(0, at_ms)
        await attest(1, 2, held=3)
        await asyncio.sleep(0.25)
        assert not waiting.done()
        await attest(1, 3)
        attested = await waiting
        assert (attested.silent, attested.held, attested.highest_seq) == ([], 0, {0: 7, 1: 7})
        await empty_redis(redis)


@pytest.mark.parametrize(
    ("witnesses", "limits"),
    [
        (Witnesses(saw_open=True, ended={0: {"dead": 3}}), []),
        (Witnesses(saw_open=True, expected=frozenset({"silent"}), waited_seconds=5), [2.0]),
        (Witnesses(saw_open=True, ended={0: {"dead": None}}), [7.0]),
        (Witnesses(), [7.0]),
    ],
)
async def test_drain_waits_for_all_workers_where_a_position_may_be_unknown(
    infra: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, witnesses: Witnesses, limits: list[float]
) -> None:
    """A history is accepted or reopened after it. If the limit is over, what RabbitMQ gave to other workers is drained as well."""
    check, drain = AsyncMock(return_value=False), AsyncMock()
    monkeypatch.setattr(WorkersCheck, "run", check)
    monkeypatch.setattr(recovery, "drain", drain)
    async with open_ledger(infra["DATABASE_URL"]) as tables, open_redis(infra["REDIS_URL"], 5, 4) as redis:
        await empty_redis(redis)
        ledger = Ledger(tables.connection)
        await ledger.add({0: 1}, {0: 1}, "open", "a")
        (server,) = (await look(redis, [0], 5)).servers
        drainer = recovery.Recovery(redis, SCRIPTS, ledger, await ledger.facts(), Options(infra["AMQP_URL"]))
        assert await drainer.drain(server, witnesses, lambda _: None) is DrainState.DONE
    waited = [call.args[0] for call in check.await_args_list]
    assert len(waited) == len(limits)
    assert all(recovery.WORKERS_SECONDS_LEAST <= seconds <= limit for seconds, limit in zip(waited, limits, strict=True))
    assert drain.await_count == 1 + len(limits)


class _KilledError(Exception):
    pass


async def test_outage_begins_with_the_first_of_several_attempts(infra: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A keeper dies in the rebuild, Redis is emptied again, and the next one dies between noting the opening in ledger and Redis."""
    began: list[int] = []
    died_ms = 0

    async def rebuilding(context: RebuildContext, _shards: Sequence[int]) -> RebuildReport:
        began.append(context.stopped_ms or 0)
        if len(began) != 2:
            raise _KilledError
        return RebuildReport()

    async def opening(*_: object) -> None:
        raise _KilledError

    async with open_ledger(infra["DATABASE_URL"]) as tables, open_redis(infra["REDIS_URL"], 5, 4) as redis:
        await empty_redis(redis)
        ledger = Ledger(tables.connection)
        await ledger.add({0: 1}, {0: 1}, "open", "a")
        await redis.hset(shard_keys(0).fence, "replid", "another")
        monkeypatch.setattr(recovery, "drain", AsyncMock())
        monkeypatch.setattr(recovery, "rebuild", rebuilding)
        monkeypatch.setattr(Fencing, "open", opening)
        for _ in range(3):
            (server,) = (await look(redis, [0], 5)).servers
            options = Options(infra["AMQP_URL"], attest_seconds=0.1, holes_seconds=0)
            attempt = recovery.Recovery(redis, SCRIPTS, ledger, await ledger.facts(), options)
            with pytest.raises(_KilledError):
                await attempt.recover(server, Witnesses(), lambda _: None)
            died_ms = died_ms or await now_ms(redis, shard_keys(0).fence)
            if len(began) == 1:
                await redis.flushall()
        assert 0 < max(began) <= died_ms, began
        await empty_redis(redis)
