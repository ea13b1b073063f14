"""The rights of db/keeper.sql, for a keeper with a role of its own, and how long Postgres waits for a keeper that is gone."""

import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import asyncpg
import pytest

from flashsale_recovery.session import connect
from tests.database_rights import RIGHTS

DEAD_SECONDS = 6
KEEPER = Path(__file__).parents[2] / "db" / "keeper.sql"
ADD = "insert into shards (shard, incarnation, first_seq, state) values (9999, 1, 1, 'fenced')"


@pytest.fixture
async def keeper(infra: Mapping[str, str]) -> AsyncIterator[asyncpg.Connection]:
    """A connection of a role with these rights, in a transaction that is rolled back."""
    role = f"k{uuid.uuid4().hex[:12]}"
    owner = await asyncpg.connect(infra["DATABASE_URL"])
    transaction = owner.transaction()
    await transaction.start()
    try:
        await owner.execute(f"create role {role}; {KEEPER.read_text().replace('flashsale_keeper', role)}; set local role {role}")
        yield owner
    finally:
        await transaction.rollback()
        await owner.close()


async def test_keeper_reads_the_ledger_and_writes_the_history_of_shards(keeper: asyncpg.Connection) -> None:
    for table in RIGHTS["keeper"]:
        await keeper.fetch(f"table {table} limit 1")
    await keeper.execute(f"{ADD} on conflict (shard, incarnation) do nothing")
    await keeper.execute("update shards set state = 'open', opened_at = now(), lost_entries = 0 where shard = 9999")
    assert await keeper.fetchval("select state from shards where shard = 9999 for update") == "open"
    assert await keeper.fetchval("select pg_try_advisory_xact_lock(1)") is True


@pytest.mark.parametrize(
    "statement",
    [
        "delete from shards",
        "insert into markers values ('m', now())",
        "insert into received_entries (shard, incarnation, from_seq, to_seq) values (1, 1, 1, 1)",
        "update installation set name = 'other'",
        "update orders set state = 'paid'",
        "delete from orders",
        "update sales set total = 1",
        "truncate order_events",
    ],
)
async def test_keeper_changes_nothing_else(keeper: asyncpg.Connection, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await keeper.execute(statement)


async def test_postgres_gives_up_a_keeper_that_is_gone_within_seconds(infra: Mapping[str, str]) -> None:
    """Its lock keeps the next keeper from acting. Probes find out who is silent, but none is sent while an answer is not acknowledged."""
    connection = await connect(infra["DATABASE_URL"], 10, 0)
    try:
        idle, pause, probes, unread_ms = [
            int(await connection.fetchval("select current_setting($1)", name))
            for name in ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")
        ]
    finally:
        await connection.close()
    assert 0 < idle + pause * probes <= DEAD_SECONDS
    assert 0 < unread_ms <= DEAD_SECONDS * 1000
