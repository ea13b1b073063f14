"""The ledger's schema against the code that writes it."""

from collections.abc import Mapping

import asyncpg
import pytest

from flashsale_core.errors import Retryable
from flashsale_core.orders import RANK
from flashsale_order_worker.repository import SCHEMA_VERSION, Repository
from tests.integration.ledger import open_ledger
from tests.integration.order_events import open_repository


async def test_ranks_in_the_schema_equal_those_in_the_code(infra: Mapping[str, str]) -> None:
    async with open_ledger(infra["DATABASE_URL"]) as ledger:
        rows = await ledger.connection.fetch("select s, order_rank(s) from unnest($1::text[]) s", [state.value for state in RANK])
        assert dict(rows) == {state.value: rank for state, rank in RANK.items()}


@pytest.mark.parametrize("table", ["order_events", "received_entries"])
@pytest.mark.parametrize("statement", ["update {} set at = now()", "delete from {}"])
async def test_history_is_append_only(infra: Mapping[str, str], table: str, statement: str) -> None:
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        async with open_ledger(infra["DATABASE_URL"]) as ledger:
            await ledger.connection.execute(statement.format(table))


async def test_ledger_of_another_installation_is_refused_until_it_is_renamed(infra: Mapping[str, str]) -> None:
    url = infra["DATABASE_URL"]
    worker = Repository(url, 5, 0.1, installation="other")
    async with open_ledger(url) as ledger:
        before = await ledger.connection.fetchval("select name from installation")
        try:
            with pytest.raises(Retryable, match=f"belongs to the installation '{before}', and FLASHSALE_INSTALLATION is 'other'"):
                await worker.check_schema()
            await ledger.connection.execute("update installation set name = 'other'")
            await worker.check_schema()
        finally:
            await ledger.connection.execute("update installation set name = $1", before)
            await worker.close()


async def test_missing_and_old_schemas_are_reported(infra: Mapping[str, str]) -> None:
    admin = await asyncpg.connect(infra["DATABASE_URL"])
    await admin.execute("create database bare")
    bare = infra["DATABASE_URL"].rpartition("/")[0] + "/bare"
    try:
        async with open_repository(bare) as repository:
            with pytest.raises(Retryable, match="no schema yet; run `flashsale migrate`"):
                await repository.check_schema()
            old = await asyncpg.connect(bare)
            await old.execute("create table schema_migrations (version int); insert into schema_migrations values (1)")
            await old.close()
            with pytest.raises(Retryable, match=f"schema is 1, this release needs {SCHEMA_VERSION}"):
                await repository.check_schema()
    finally:
        await admin.execute("drop database bare with (force)")
        await admin.close()
