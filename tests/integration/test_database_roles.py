"""The database roles of the services: an owner that is no superuser creates them, and each has exactly the rights it needs."""

import asyncio
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from typer import Typer
from typer.testing import CliRunner

from flashsale_audit.read_ledger import LedgerReader
from flashsale_cli import retention, roles
from flashsale_cli.commands.migrate import migrate as command
from flashsale_cli.compaction import compact
from flashsale_notifier.database import Database
from flashsale_notifier.repository import Repository
from flashsale_notifier.rows import Place
from tests.database_rights import GRANTED, RIGHTS
from tests.integration.test_retention import sale

DB = Path(__file__).parents[2] / "db"
PASSWORD = "0123456789abcdef"
NEXT_PASSWORD = "fedcba9876543210"
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Ledger:
    """A ledger whose owner may create roles and is no superuser, and a copy of db/ with roles of its own names."""

    owner: str
    folder: Path
    names: Mapping[str, str]

    def url(self, role: str, password: str = PASSWORD) -> str:
        return f"postgresql://{self.names[role]}:{password}@{self.owner.rpartition('@')[2]}"


@pytest.fixture
async def ledger(infra: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ledger]:
    name = f"d{uuid.uuid4().hex[:12]}"
    folder = tmp_path / "db"
    shutil.copytree(DB, folder)
    names = {role: f"{name}_{role}" for role in roles.ROLES}
    for role, own in names.items():
        for file in folder.rglob("*.sql"):
            file.write_text(file.read_text().replace(roles.ROLES[role], own))
        monkeypatch.setenv(roles.password_variable(role), PASSWORD)
    monkeypatch.setattr(roles, "ROLES", names)
    await execute(
        infra["DATABASE_URL"], f"create role {name} login createrole password '{PASSWORD}'", f"create database {name} owner {name}"
    )
    host = infra["DATABASE_URL"].rpartition("@")[2].rpartition("/")[0]
    yield Ledger(f"postgresql://{name}:{PASSWORD}@{host}/{name}", folder, names)
    gone = ", ".join((*names.values(), name))
    await execute(infra["DATABASE_URL"], f"drop database {name} with (force)", f"drop role if exists {gone}")


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def migrated(ledger: Ledger, *words: str) -> str:
    return await asyncio.to_thread(_migrated, ledger, *words)


def _migrated(ledger: Ledger, *words: str) -> str:
    app = Typer()
    app.command()(command)
    done = CliRunner().invoke(app, ["--db-dir", str(ledger.folder), *words], env={**os.environ, "DATABASE_URL": ledger.owner})
    assert done.exit_code == 0, done.output
    return done.output


async def test_each_role_has_exactly_the_rights_of_its_service(ledger: Ledger) -> None:
    assert "rights granted to" in await migrated(ledger, "--create-roles")
    connection = await asyncpg.connect(ledger.owner, timeout=10)
    try:
        granted = {
            role: {row[0]: row[1] for row in await connection.fetch(GRANTED.replace("current_user", "$1"), name)}
            for role, name in ledger.names.items()
        }
        powers = await connection.fetch(
            "select 1 from pg_roles where rolname = any($1) and (rolsuper or rolcreaterole or rolcreatedb or rolreplication)",
            list(ledger.names.values()),
        )
    finally:
        await connection.close()
    assert (granted, powers) == (RIGHTS, [])
    for role in ledger.names:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await execute(ledger.url(role), "create table mine (id int)")


async def test_audit_reads_and_prune_deletes_as_roles_that_own_nothing(ledger: Ledger) -> None:
    await migrated(ledger, "--create-roles")
    await execute(ledger.owner, sale("shoe"))
    connection = await asyncpg.connect(ledger.url("reader"), timeout=10)
    try:
        assert "shoe" in await LedgerReader(connection).paid_sale_ids()
    finally:
        await connection.close()
    assert [item.sale.sale_id async for item in retention.prune(ledger.url("retention"), timedelta(days=400), 10, dry_run=False)] == [
        "shoe"
    ]
    ranges = "insert into received_entries select 1, 1, n, n, now() - interval '1 day' from generate_series(1, 3) n"
    await execute(ledger.url("retention"), ranges, "table shards")
    assert (await compact(ledger.url("retention"), timedelta(days=400), dry_run=False)).ranges_after == 1
    with pytest.raises(asyncpg.RestrictViolationError):
        await execute(ledger.url("retention"), "delete from order_events")
    await execute(ledger.url("ledger_api"), "update refunds set state = 'sent', refunded_minor = 1, changed_at = now()")
    for statement in ("update refunds set amount_minor = 0", "delete from refunds", "update payments set amount_minor = 0"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await execute(ledger.url("ledger_api"), statement)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await execute(ledger.url("writer"), "set flashsale.prune = 'on'", "delete from order_events")


async def test_notifier_looks_for_returns_and_refunds_as_a_role_that_sees_no_payment(ledger: Ledger) -> None:
    await migrated(ledger, "--create-roles")
    database = Database(ledger.url("notifier"), 30, 0.1, 100, "flashsale")
    try:
        repository = Repository(database)
        for look in (repository.late_returns, repository.stray_refunds):
            assert await look(Place(LONG_AGO), datetime.now(UTC), 1) == []
    finally:
        await database.close()
    for statement in ("table payments", "select state from refunds", "select updated_at from orders", "update orders set state = 'paid'"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await execute(ledger.url("notifier"), statement)


async def test_next_run_sets_new_passwords_and_keeps_roles(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    await migrated(ledger, "--create-roles")
    monkeypatch.setenv(roles.password_variable("writer"), NEXT_PASSWORD)
    await migrated(ledger, "--create-roles")
    await execute(ledger.url("writer", NEXT_PASSWORD), "select 1")
    await execute(ledger.url("keeper"), "select 1")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await execute(ledger.url("writer"), "select 1")


async def test_roles_that_others_create_are_granted_their_rights(ledger: Ledger, infra: Mapping[str, str]) -> None:
    assert "granted" not in await migrated(ledger)
    await execute(infra["DATABASE_URL"], f"create role {ledger.names['keeper']} login password '{PASSWORD}'")
    assert f"rights granted to {ledger.names['keeper']}" in " ".join((await migrated(ledger)).split())
    await execute(ledger.url("keeper"), "update shards set state = 'open' where false")
