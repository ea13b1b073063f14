"""`flashsale migrate` on a real Postgres: each migration once, whoever asks and however often."""

import asyncio
import json
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer import Typer
from typer.testing import CliRunner

from flashsale_cli import installation as installations
from flashsale_cli.commands.migrate import migrate as command
from flashsale_cli.installation import Installation
from flashsale_cli.migrations import Migrated, MigrationError, migrate, read_migrations

DB = Path(__file__).parents[2] / "db"
PAID_BEFORE = """
    insert into orders (sale_id, epoch, order_id, user_id, quantity, state, deadline, updated_at)
    select 'shoe', 7, id, 'ann', 1, 'paid', to_timestamp(9), to_timestamp(5) from unnest(array['o1', 'o2']) as id;
    insert into order_events values
        ('shoe', 7, 'o1', 'reserved', to_timestamp(3), '1-0'),
        ('shoe', 7, 'o1', 'paid', to_timestamp(5), '2-0');
"""
VERSIONS = [migration.version for migration in read_migrations(DB)]


@pytest.fixture
def database(infra: Mapping[str, str]) -> Iterator[str]:
    """A database without a schema."""
    name = f"m{uuid.uuid4().hex[:12]}"
    asyncio.run(_execute(infra["DATABASE_URL"], f"create database {name}"))
    yield f"{infra['DATABASE_URL'].rpartition('/')[0]}/{name}"
    asyncio.run(_execute(infra["DATABASE_URL"], f"drop database {name} with (force)"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of db/ to add to."""
    shutil.copytree(DB, tmp_path / "db")
    return tmp_path / "db"


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _fetch(url: str, query: str) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def history(url: str) -> list[Any]:
    return await _fetch(url, "select version, phase, name, sha256 from schema_migrations order by version")


def add(folder: Path, name: str, sql: str) -> None:
    (folder / "migrations" / name).write_text(sql)


async def test_second_run_applies_nothing(database: str) -> None:
    first, second = await migrate(database, DB), await migrate(database, DB)
    assert ([migration.version for migration in first.applied], second) == (VERSIONS, Migrated([], None))
    assert await history(database) == [
        (migration.version, migration.phase, migration.name, migration.sha256) for migration in read_migrations(DB)
    ]


async def test_concurrent_runs_apply_each_migration_once(database: str) -> None:
    async def run() -> list[int]:
        runs = await asyncio.gather(*(migrate(database, DB) for _ in range(6)))
        return sorted(migration.version for run in runs for migration in run.applied)

    assert (await run(), len(await history(database))) == (VERSIONS, len(VERSIONS))


async def test_changed_migration_is_refused(database: str, folder: Path) -> None:
    await migrate(database, folder)
    with next((folder / "migrations").glob("0001_*")).open("a") as file:
        file.write("-- but\n")
    with pytest.raises(MigrationError, match=r"migration 1 .* was changed after it was applied"):
        await migrate(database, folder)


async def test_failed_migration_changes_nothing_and_earlier_ones_stay(database: str, folder: Path) -> None:
    add(folder, f"{VERSIONS[-1] + 1:04}_pre_broken.sql", "create table half (a int); select 1 / 0;")
    with pytest.raises(MigrationError, match="failed and changed nothing: division by zero"):
        await migrate(database, folder)
    assert [row[0] for row in await history(database)] == VERSIONS
    assert await _fetch(database, "select to_regclass('half')::text") == [(None,)]


async def test_only_the_named_phase_is_applied(database: str, folder: Path) -> None:
    after = VERSIONS[-1] + 1
    add(folder, f"{after:04}_post_tidy.sql", "create table tidy (a int)")
    results = [await migrate(database, folder, phase) for phase in ("pre", "pre", "post", "post")]
    applied = [[migration.version for migration in result.applied] for result in results]
    assert applied == [VERSIONS, [], [after], []]


async def test_older_rows_get_reserved_at_from_their_history(database: str, folder: Path) -> None:
    newer = [path for path in (folder / "migrations").glob("*.sql") if not path.name.startswith("0001_")]
    for path in newer:
        path.rename(folder / path.name)
    await migrate(database, folder)
    await _execute(database, PAID_BEFORE)
    for path in newer:
        (folder / path.name).rename(path)
    await migrate(database, folder)
    rows = await _fetch(database, "select order_id, extract(epoch from reserved_at)::int from orders order by order_id")
    assert rows == [("o1", 3), ("o2", None)]


def test_command_reports_what_it_applied(database: str) -> None:
    app = Typer()
    app.command()(command)
    variables = {"DATABASE_URL": database, "FLASHSALE_DB_DIR": str(DB)}
    first, second = (CliRunner().invoke(app, ["--json"], env=variables) for _ in range(2))
    assert (first.exit_code, [migration["version"] for migration in json.loads(first.stdout)]) == (0, VERSIONS)
    assert (second.exit_code, json.loads(second.stdout)) == (0, [])
    assert "up to date" in CliRunner().invoke(app, [], env=variables).stdout


async def test_older_release_reports_nothing_to_do(database: str, folder: Path) -> None:
    after = VERSIONS[-1] + 1
    add(folder, f"{after:04}_pre_more.sql", "create table more (a int)")
    await migrate(database, folder)
    app = Typer()
    app.command()(command)
    variables = {"DATABASE_URL": database, "FLASHSALE_DB_DIR": str(DB)}
    for words in ([], ["--phase", "pre"]):
        result = await asyncio.to_thread(CliRunner().invoke, app, words, env=variables)
        sentence = f"nothing to do: the schema has migration {after} of a newer release; this release ends at {VERSIONS[-1]}"
        assert (result.exit_code, sentence in " ".join(result.stdout.split())) == (0, True)
    result = await asyncio.to_thread(CliRunner().invoke, app, ["--json"], env=variables)
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])
    assert (await history(database))[-1][0] == after


def initialise(database: str, *words: str, **variables: str) -> Any:
    app = Typer()
    app.command()(command)
    env = {"DATABASE_URL": database, "FLASHSALE_DB_DIR": str(DB)} | variables
    return CliRunner().invoke(app, ["--initialise", *words], env=env)


def installation(url: str) -> list[Any]:
    return asyncio.run(_fetch(url, "select name, shards, ledger_id from installation"))


def test_ledger_is_initialised_once_and_keeps_its_id(database: str) -> None:
    first = initialise(database, FLASHSALE_INSTALLATION="shop", FLASHSALE_SHARDS="4")
    ((name, shards, ledger_id),) = installation(database)
    assert (first.exit_code, name, shards) == (0, "shop", 4)
    assert "now belongs to the installation 'shop' with 4 shards" in first.stdout
    second = initialise(database, "--installation", "shop", "--shards", "4")
    assert (second.exit_code, "now belongs" in second.stdout) == (0, False)
    assert installation(database) == [("shop", 4, ledger_id)]


def test_ledger_of_another_installation_is_refused(database: str) -> None:
    assert initialise(database).exit_code == 0
    before = installation(database)
    for variables, reason in [
        ({"FLASHSALE_INSTALLATION": "other"}, "belongs to the installation 'flashsale', and FLASHSALE_INSTALLATION is 'other'"),
        ({"FLASHSALE_SHARDS": "8"}, "was created with 16 shards, and FLASHSALE_SHARDS is 8"),
        ({"FLASHSALE_INSTALLATION": "a b"}, "FLASHSALE_INSTALLATION is 'a b'; a name has"),
    ]:
        result = initialise(database, **variables)
        assert (result.exit_code, reason in result.stderr) == (1, True)
    assert [row[:2] for row in before] == [("flashsale", 16)]
    assert installation(database) == before


def test_only_the_explicit_command_initialises(database: str) -> None:
    assert asyncio.run(migrate(database, DB)).applied
    assert installation(database) == []


def test_ledger_without_the_table_is_not_initialised(database: str) -> None:
    result = initialise(database, "--phase", "post")
    assert (result.exit_code, "run --phase pre first" in result.stderr) == (1, True)


async def test_concurrent_initialisations_agree(database: str) -> None:
    await migrate(database, DB)
    wanted = [Installation("shop", 16)] * 4 + [Installation("other", 16)] * 4
    results = await asyncio.gather(*(installations.initialise(database, each) for each in wanted), return_exceptions=True)
    assert results.count(True) == 1
    refused = [each.name for each, result in zip(wanted, results, strict=True) if isinstance(result, MigrationError)]
    ((name,),) = await _fetch(database, "select name from installation")
    assert refused == [each.name for each in wanted if each.name != name]


def test_wait_for_a_server_that_does_not_answer_is_bounded() -> None:
    app = Typer()
    app.command()(command)
    started = time.monotonic()
    result = CliRunner().invoke(app, ["--database-url", "postgresql://u:p@127.0.0.1:1/x", "--db-dir", str(DB), "--wait-seconds", "1"])
    assert (result.exit_code, "does not answer within 1 s" in result.stderr) == (1, True)
    assert 1 <= time.monotonic() - started < 15
