"""Whose ledger this is: its only row in the table `installation`. Written by `flashsale migrate --initialise`.

The keeper creates fences in an empty Redis only for a ledger that has this row, so an emptied Redis is never taken for a new one by chance.
"""

import re
from dataclasses import dataclass

import asyncpg

from flashsale_cli.migrations import LOCK, LOCK_TIMEOUT_SECONDS, MigrationError

NAME_DEFAULT = "flashsale"
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")
_CREATE = "insert into installation (name, shards) values ($1, $2) on conflict do nothing"
_READ = "select name, shards from installation"


@dataclass(frozen=True, slots=True)
class Installation:
    name: str
    shards: int


def refusal(known: Installation, wanted: Installation) -> str | None:
    """Why a ledger with `known` is not the ledger of `wanted`; None if it is."""
    if known.name != wanted.name:
        return (
            f"the ledger belongs to the installation {known.name!r}, and FLASHSALE_INSTALLATION is {wanted.name!r}; "
            "two installations cannot share a ledger"
        )
    if known.shards != wanted.shards:
        return (
            f"the ledger was created with {known.shards} shards, and FLASHSALE_SHARDS is {wanted.shards}; "
            "the number cannot change while there is data"
        )
    return None


async def initialise(database_url: str, wanted: Installation) -> bool:
    """Write the row; returns False if it was already there. Raises MigrationError if the ledger belongs to another installation."""
    if not _NAME.match(wanted.name):
        raise MigrationError(f"FLASHSALE_INSTALLATION is {wanted.name!r}; a name has 1 to 63 letters, digits, dots, dashes and underscores")
    connection = await asyncpg.connect(database_url, timeout=10, statement_cache_size=0)
    try:
        async with connection.transaction():
            await connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'")
            # The lock of the migrations: whoever initialises sees them all, and a second one sees the row of the first.
            await connection.execute("select pg_advisory_xact_lock($1)", LOCK)
            created = await connection.execute(_CREATE, wanted.name, wanted.shards)
            (row,) = await connection.fetch(_READ)
    except asyncpg.UndefinedTableError as error:
        raise MigrationError("the ledger has no table `installation` yet; run --phase pre first") from error
    finally:
        await connection.close()
    reason = refusal(Installation(str(row["name"]), int(row["shards"])), wanted)
    if reason is not None:
        raise MigrationError(reason)
    return bool(created == "INSERT 0 1")
