"""The notifier's connections to Postgres: runs named statements, each in a transaction, and translates errors."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg

from flashsale_core.errors import Rejected, Retryable
from flashsale_core.faults import Server, describe_error
from flashsale_notifier import metrics

SCHEMA_VERSION = 8
"""The migration this release needs."""
CONNECTIONS_MAX = 6
IDLE_SECONDS = 60.0
"""An idle connection is closed after this time: load balancers and NAT drop one after 240 s or more, without notice to either end."""
# Errors that concern the values (SQLSTATE classes 22, 23 and 54). asyncpg also raises class 22 for a value that does not fit its column.
_ROW_ERRORS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)
_SERVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


class Database:
    def __init__(self, url: str, timeout_seconds: float, retry_seconds: float, statement_cache: int, installation: str) -> None:
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._retry_seconds = retry_seconds
        self._statement_cache = statement_cache
        self._installation = installation
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    async def run(self, name: str, *arguments: Any) -> list[Any]:
        """The rows of a statement of queries.sql. Raises Retryable when Postgres is away, Rejected when it refuses these values."""
        try:
            rows = await self._fetch(name, arguments)
        except _ROW_ERRORS as error:
            raise Rejected(f"{type(error).__name__}: {error}") from error
        except _SERVER_ERRORS as error:
            raise await self._away(error) from error
        metrics.DATABASE_UP.set(1)
        return rows

    async def check_schema(self) -> None:
        """Raises Retryable until the ledger takes writes, has a schema that is new enough for this release, and is this installation's."""
        try:
            (schema,) = await self._fetch("schema", ())
            if schema["read_only"]:
                raise asyncpg.ReadOnlySQLTransactionError("the ledger's transactions are read-only")
            version = schema["version"] or 0
            owner = (await self._fetch("owner", ()))[0]["name"] if version >= SCHEMA_VERSION else None
        except asyncpg.UndefinedTableError as error:
            raise Retryable("the ledger has no schema yet; run `flashsale migrate`", self._retry_seconds) from error
        except _SERVER_ERRORS as error:
            raise await self._away(error) from error
        metrics.DATABASE_UP.set(1)
        if version < SCHEMA_VERSION:
            raise Retryable(f"the ledger's schema is {version}, this release needs {SCHEMA_VERSION}; run `flashsale migrate`")
        if owner not in (None, self._installation):
            raise Retryable(f"the ledger belongs to the installation {owner!r}, and FLASHSALE_INSTALLATION is {self._installation!r}")

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()

    async def _fetch(self, name: str, arguments: Sequence[Any]) -> list[Any]:
        pool = await self._open_pool()
        # In a transaction: a pooler may change the server connection between the steps of a statement.
        async with pool.acquire(timeout=self._timeout_seconds) as connection, connection.transaction():
            return list(await connection.fetch(_QUERIES[name], *arguments))

    async def _away(self, error: BaseException) -> Retryable:
        metrics.DATABASE_UP.set(0)
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError) and self._pool is not None:
            # A primary that became a standby keeps its connections open. New connections resolve the name again.
            await self._pool.expire_connections()
        return Retryable(describe_error(Server.POSTGRES, error), self._retry_seconds)

    async def _open_pool(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._url,
                    min_size=0,
                    max_size=CONNECTIONS_MAX,
                    max_inactive_connection_lifetime=IDLE_SECONDS,
                    timeout=self._timeout_seconds,
                    command_timeout=self._timeout_seconds,
                    statement_cache_size=self._statement_cache,
                    # Postgres does not notice when this machine dies, and its rows stay locked for as long as the kernel waits.
                    server_settings={"idle_in_transaction_session_timeout": str(int(self._timeout_seconds * 1000))},
                )
            return self._pool


def _read_queries(text: str) -> dict[str, str]:
    """The statements of queries.sql by the name above each."""
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


_QUERIES = _read_queries((Path(__file__).parent / "queries.sql").read_text())
