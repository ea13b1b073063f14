"""A pool of few connections to the ledger: every statement in a transaction, and what an error means."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from prometheus_client import Gauge

from flashsale_core.errors import Retryable
from flashsale_core.faults import Server, describe_error

IDLE_SECONDS = 60.0
"""An idle connection is closed after this time: load balancers and NAT drop one after 240 s or more, without notice to either end."""
# `read_only` is true if the server is a standby, whose rows may be old, or takes no writes for another reason.
_SCHEMA = "select max(version) as version, current_setting('transaction_read_only')::bool as read_only from schema_migrations"
_OWNER = "select (select name from installation)"
ROW_ERRORS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)
"""They concern the rows (SQLSTATE classes 22, 23 and 54). asyncpg also raises class 22 for a value that does not fit its column."""
# A connection that the server ends while nothing is asked is, at the next query, an InternalClientError of asyncpg.
SERVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""Every other error concerns the server, its configuration or this moment. A missing grant or database must never park a good message."""
PoolConnection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"


class LedgerPool:
    def __init__(
        self,
        url: str,
        connections_max: int,
        timeout_seconds: float,
        up: Gauge,
        *,
        statement_cache: int,
        retry_seconds: float = 1.0,
        begin: str = "",
    ) -> None:
        """`up` shows whether the last statement reached Postgres. `retry_seconds` is the delay that a Retryable names.

        With a `statement_cache` of 0 no statement outlives its transaction, as a pooler in transaction mode requires. `begin` is the first
        statement of each transaction, with the timeout in ms as its parameter: such a pooler refuses settings of a session.
        """
        self._url = url
        self._connections_max = connections_max
        self._timeout_seconds = timeout_seconds
        self._up = up
        self._statement_cache = statement_cache
        self._retry_seconds = retry_seconds
        self._begin = begin
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PoolConnection]:
        """A connection with an open transaction, which ends with the block.

        Raises what asyncpg raises: see ROW_ERRORS and SERVER_ERRORS.
        """
        pool = await self._open()
        # Also for reading: a pooler may change the server connection between the steps of a statement.
        async with pool.acquire(timeout=self._timeout_seconds) as connection, connection.transaction():
            if self._begin:
                await connection.execute(self._begin, str(int(self._timeout_seconds * 1000)))
            yield connection

    def reached(self) -> None:
        self._up.set(1)

    async def away(self, error: BaseException) -> Retryable:
        """What an error of SERVER_ERRORS means to the caller."""
        self._up.set(0)
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError) and self._pool is not None:
            # A primary that became a standby keeps its connections open. New connections resolve the name again.
            await self._pool.expire_connections()
        return Retryable(describe_error(Server.POSTGRES, error), self._retry_seconds)

    async def check(self, schema_version: int, installation: str | None, *, writes: bool = True) -> None:
        """Raises Retryable until the ledger takes writes, has this schema or a newer one, and is this installation's; None allows any.

        Who only reads asks without `writes`: then a standby will do.
        """
        try:
            async with self.transaction() as connection:
                (schema,) = await connection.fetch(_SCHEMA)
                if writes:
                    refuse_read_only(schema)
                version = schema["version"] or 0
                owner = await connection.fetchval(_OWNER) if version >= schema_version else None
        except asyncpg.UndefinedTableError as error:
            raise Retryable("the ledger has no schema yet; run `flashsale migrate`", self._retry_seconds) from error
        except SERVER_ERRORS as error:
            raise await self.away(error) from error
        self.reached()
        if version < schema_version:
            raise Retryable(
                f"the ledger's schema is {version}, this release needs {schema_version}; run `flashsale migrate`", self._retry_seconds
            )
        # A ledger without an owner is an older one; the keeper waits until `flashsale migrate --initialise` has written it.
        if installation is not None and owner not in (None, installation):
            raise Retryable(
                f"the ledger belongs to the installation {owner!r}, and FLASHSALE_INSTALLATION is {installation!r}", self._retry_seconds
            )

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()

    async def _open(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._url,
                    min_size=0,
                    max_size=self._connections_max,
                    max_inactive_connection_lifetime=IDLE_SECONDS,
                    timeout=self._timeout_seconds,
                    command_timeout=self._timeout_seconds,
                    statement_cache_size=self._statement_cache,
                )
            return self._pool


def refuse_read_only(row: asyncpg.Record) -> None:
    """Raises ReadOnlySQLTransactionError if the row's column `read_only` is true."""
    if row["read_only"]:
        raise asyncpg.ReadOnlySQLTransactionError("the ledger's transactions are read-only")
