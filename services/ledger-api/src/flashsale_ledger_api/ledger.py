"""The ledger in Postgres, as a pool of few connections. Every statement has a limit at both ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from flashsale_core.errors import Retryable
from flashsale_core.faults import Server, describe_error
from flashsale_ledger_api import metrics
from flashsale_ledger_api.settings import Settings

SCHEMA_VERSION = 8
"""The migration this release needs."""
IDLE_SECONDS = 60.0
"""An idle connection is closed after this time: load balancers and NAT drop one after 240 s or more, without notice to either end."""
# Set in the transaction, because a pooler in transaction mode refuses such settings of a session.
_BEGIN = "select set_config('statement_timeout', $1, true), set_config('idle_in_transaction_session_timeout', $1, true)"
_SCHEMA = "select max(version) as version, current_setting('transaction_read_only')::bool as read_only from schema_migrations"
_OWNER = "select (select name from installation)"
# Errors that concern the server, its configuration or this moment, and not the values of a request.
_SERVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


PoolConnection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"


class Ledger:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PoolConnection]:
        """A connection with an open transaction, which ends with the block. Raises Retryable when Postgres is away or too slow."""
        try:
            pool = await self._open_pool()
            # Also for reading: a pooler may change the server connection between the steps of a statement.
            async with pool.acquire(timeout=self._settings.statement_timeout_seconds) as connection, connection.transaction():
                await connection.execute(_BEGIN, str(int(self._settings.statement_timeout_seconds * 1000)))
                yield connection
        except _SERVER_ERRORS as error:
            raise await self._away(error) from error
        metrics.DATABASE_UP.set(1)

    async def rows(self, query: str, *values: Any) -> list[asyncpg.Record]:
        """Raises Retryable when Postgres is away or too slow."""
        async with self.transaction() as connection:
            return list(await connection.fetch(query, *values))

    async def check(self) -> None:
        """Raises Retryable until the ledger takes writes, has a schema that is new enough for this release, and is this installation's."""
        try:
            async with self.transaction() as connection:
                (schema,) = await connection.fetch(_SCHEMA)
                version, read_only = schema["version"] or 0, schema["read_only"]
                owner = await connection.fetchval(_OWNER) if version >= SCHEMA_VERSION else None
        except Retryable as error:
            if isinstance(error.__cause__, asyncpg.UndefinedTableError):
                raise Retryable("the ledger has no schema yet; run `flashsale migrate`") from error
            raise
        if read_only:
            raise await self._away(asyncpg.ReadOnlySQLTransactionError("the ledger's transactions are read-only"))
        if version < SCHEMA_VERSION:
            raise Retryable(f"the ledger's schema is {version}, this release needs {SCHEMA_VERSION}; run `flashsale migrate`")
        if owner not in (None, self._settings.installation):
            raise Retryable(
                f"the ledger belongs to the installation {owner!r}, and FLASHSALE_INSTALLATION is {self._settings.installation!r}"
            )

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()

    async def _away(self, error: BaseException) -> Retryable:
        metrics.DATABASE_UP.set(0)
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError) and self._pool is not None:
            # A primary that became a standby keeps its connections open. New connections resolve the name again.
            await self._pool.expire_connections()
        return Retryable(describe_error(Server.POSTGRES, error))

    async def _open_pool(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._settings.database_url,
                    min_size=0,
                    max_size=self._settings.connections_max,
                    max_inactive_connection_lifetime=IDLE_SECONDS,
                    timeout=self._settings.statement_timeout_seconds,
                    command_timeout=self._settings.statement_timeout_seconds,
                    statement_cache_size=self._settings.statement_cache,
                )
            return self._pool
