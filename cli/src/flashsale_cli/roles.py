"""The database roles of the services: created with their passwords, and granted their rights. Called by `flashsale migrate`.

The owner of the tables needs CREATEROLE only to create them. Roles that exist get their rights in any case, also after a restore.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

import asyncpg

from flashsale_cli.migrations import LOCK, LOCK_TIMEOUT_SECONDS, MigrationError

ROLES = {name: f"flashsale_{name}" for name in ("writer", "keeper", "reader", "retention", "ledger_api", "notifier", "console")}
"""The roles by the name of their file in db/."""
OPTIONAL = frozenset({"ledger_api", "notifier", "console"})
"""Roles that `--create-roles` leaves out if they have no password: an installation need not have their service."""
SCRAM_ITERATIONS = 4096
"""Postgres' own default: https://www.postgresql.org/docs/current/runtime-config-connection.html."""
_EXISTING = "select rolname from pg_roles where rolname = any($1)"
_VERIFIER = re.compile(r"^SCRAM-SHA-256\$[0-9]+:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+$")


def password_variable(name: str) -> str:
    """The environment variable with a role's password."""
    return f"FLASHSALE_{name.upper()}_PASSWORD"


def verifier(password: str, salt: bytes) -> str:
    """What Postgres keeps of a password (RFC 5802 and RFC 7677). The password itself is in no statement, and so in no server's log."""
    key = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(key, b"Client Key", "sha256")).digest()
    server = hmac.digest(key, b"Server Key", "sha256")
    salted, stored_text, server_text = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{salted}${stored_text}:{server_text}"


async def prepare(database_url: str, db_dir: Path, passwords: Mapping[str, str]) -> list[str]:
    """Create or alter the roles that have a password, grant all roles that exist their rights, and return the latter.

    Raises MigrationError if a file is missing or the owner may not create roles.
    """
    connection = await asyncpg.connect(database_url, timeout=10, statement_cache_size=0)
    try:
        async with connection.transaction():
            await connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'")
            # The lock of the migrations: two that grant at the same moment would fail on each other's rows.
            await connection.execute("select pg_advisory_xact_lock($1)", LOCK)
            existing = {row["rolname"] for row in await connection.fetch(_EXISTING, list(ROLES.values()))}
            for name, password in passwords.items():
                await _set_password(connection, "alter" if ROLES[name] in existing else "create", ROLES[name], password)
            granted = [name for name, role in ROLES.items() if role in existing or name in passwords]
            for name in granted:
                await connection.execute(_read(db_dir / f"{name}.sql"))
    except asyncpg.InsufficientPrivilegeError as error:
        raise MigrationError(
            f"the roles of the services: {error}; the owner of the tables needs CREATEROLE, or create them yourself"
        ) from error
    finally:
        await connection.close()
    return granted


async def _set_password(connection: asyncpg.Connection, verb: str, role: str, password: str) -> None:
    text = verifier(password, secrets.token_bytes(16))
    if not _VERIFIER.match(text):
        raise AssertionError("a verifier is base64 only, so it needs no quoting")
    await connection.execute(f"{verb} role {role} login password '{text}'")


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError as error:
        raise MigrationError(f"{file} is missing; set FLASHSALE_DB_DIR to the db/ folder of this release") from error
