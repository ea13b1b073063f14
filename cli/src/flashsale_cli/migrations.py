"""Reads the migrations, plans those that are missing, and applies them. Called by `flashsale migrate`."""

import asyncio
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import asyncpg

from flashsale_core.errors import FlashsaleError

# An arbitrary number that no other program uses for a lock on this database.
LOCK = 7_305_808_869_231_215
LOCK_TIMEOUT_SECONDS = 60
CONNECT_PAUSE_SECONDS = 0.5
_NAME = re.compile(r"^(\d{4})_(pre|post)_([a-z0-9_]+)\.sql$")
Phase = Literal["pre", "post", "all"]


class MigrationError(FlashsaleError):
    """The migrations and the database do not fit together; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    phase: str
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Applied:
    version: int
    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Migrated:
    applied: list[Migration]
    newer: int | None
    """The newest migration in the database that this release does not have; None if it has all."""


def read_migrations(db_dir: Path) -> list[Migration]:
    """All migrations in `db_dir`, in order. Raises MigrationError if a name is wrong or a number is missing or used twice."""
    files = sorted((db_dir / "migrations").glob("*.sql"))
    if not files:
        raise MigrationError(f"{db_dir / 'migrations'} has no migrations; set FLASHSALE_DB_DIR to the db/ folder")
    migrations = [_parse(path) for path in files]
    versions = [migration.version for migration in migrations]
    if versions != list(range(1, len(migrations) + 1)):
        raise MigrationError(f"migrations must be numbered 1, 2, 3, ...; found {', '.join(map(str, versions))}")
    return migrations


def plan(migrations: Sequence[Migration], applied: Iterable[Applied], phase: Phase) -> list[Migration]:
    """The migrations to apply, in order; none if a newer release has already migrated the database.

    Raises MigrationError if the history was changed or has a gap, or if a migration would overtake an earlier one of the other phase.
    """
    done = {record.version: record for record in applied}
    for migration in migrations:
        record = done.get(migration.version)
        if record is not None and record.sha256 != migration.sha256:
            raise MigrationError(
                f"migration {migration.version} ({migration.name}) was changed after it was applied; add a new one instead"
            )
    missing = [migration for migration in migrations if migration.version not in done]
    unknown = newer(migrations, done.values())
    if unknown and missing:
        lacks = ", ".join(str(migration.version) for migration in missing)
        raise MigrationError(
            f"the database has migration {unknown}, which this release does not know, and lacks {lacks}; use the newer release"
        )
    if phase == "all":
        return missing
    wanted = [migration for migration in missing if migration.phase == phase]
    _refuse_overtaking(missing, wanted)
    return wanted


def newer(migrations: Sequence[Migration], applied: Iterable[Applied]) -> int | None:
    """The newest applied migration that is not in `migrations`. It exists after a rollback: older code works with a newer schema."""
    return max({record.version for record in applied} - {migration.version for migration in migrations}, default=None)


def _refuse_overtaking(missing: Sequence[Migration], wanted: Sequence[Migration]) -> None:
    """Migrations are always applied in order, even across phases."""
    last = wanted[-1].version if wanted else 0
    skipped = [migration for migration in missing if migration.version < last and migration not in wanted]
    if skipped:
        first = skipped[0]
        raise MigrationError(
            f"migration {first.version} ({first.phase} {first.name}) must come before {last}; "
            f"run --phase {first.phase} with the release that it belongs to, or --phase all on a new database"
        )


async def migrate(database_url: str, db_dir: Path, phase: Phase = "all", wait_seconds: float = 30) -> Migrated:
    """Apply the missing migrations. Several calls may run at the same time: one works, the others wait. Raises MigrationError."""
    migrations = read_migrations(db_dir)
    connection = await _connect(database_url, wait_seconds)
    done: list[Migration] = []
    try:
        # The last turn finds nothing to do, so there is one more turn than migrations.
        for _ in range(len(migrations) + 1):
            applied, migration = await _apply_next(connection, migrations, phase)
            if migration is None:
                return Migrated(done, newer(migrations, applied))
            done.append(migration)
        raise MigrationError("applied migrations have disappeared: something else changes the table schema_migrations")
    finally:
        await connection.close()


async def _apply_next(
    connection: asyncpg.Connection, migrations: Sequence[Migration], phase: Phase
) -> tuple[list[Applied], Migration | None]:
    """The history before, and the migration that was applied now; None if nothing is missing.

    Lock and timeout end with the transaction. Behind a pooler, those of a session would outlive this process and lock out everybody.
    """
    async with connection.transaction():
        await connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'")
        await connection.execute("select pg_advisory_xact_lock($1)", LOCK)
        await connection.execute(_HISTORY)
        applied = await _applied(connection)
        migration = next(iter(plan(migrations, applied, phase)), None)
        if migration is not None:
            await _apply(connection, migration)
    return applied, migration


async def _connect(database_url: str, wait_seconds: float) -> asyncpg.Connection:
    deadline = asyncio.get_running_loop().time() + wait_seconds
    while True:
        try:
            return await asyncpg.connect(database_url, timeout=10, statement_cache_size=0)
        except (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError) as error:
            if asyncio.get_running_loop().time() > deadline:
                raise MigrationError(f"the database does not answer within {wait_seconds:.0f} s: {error}") from error
        await asyncio.sleep(CONNECT_PAUSE_SECONDS)


async def _applied(connection: asyncpg.Connection) -> list[Applied]:
    rows = await connection.fetch("select version, name, sha256 from schema_migrations order by version")
    return [Applied(int(str(row["version"])), str(row["name"]), str(row["sha256"])) for row in rows]


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    try:
        await connection.execute(migration.sql)
        await connection.execute(_RECORD, migration.version, migration.phase, migration.name, migration.sha256)
    except asyncpg.PostgresError as error:
        raise MigrationError(f"migration {migration.version} ({migration.name}) failed and changed nothing: {error}") from error


def _parse(path: Path) -> Migration:
    match = _NAME.match(path.name)
    if match is None:
        raise MigrationError(f"{path.name} is not named NNNN_<pre|post>_<name>.sql")
    return Migration(int(match[1]), match[2], match[3], path.read_text())


_HISTORY = """
create table if not exists schema_migrations (
    version     integer     primary key,
    phase       text        not null,
    name        text        not null,
    sha256      text        not null,
    applied_at  timestamptz not null default now()
)
"""
_RECORD = "insert into schema_migrations (version, phase, name, sha256) values ($1, $2, $3, $4)"
