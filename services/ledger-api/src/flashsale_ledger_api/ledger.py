"""The ledger in Postgres, as a pool of few connections. Every statement has a limit at both ends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from flashsale_ledger import SERVER_ERRORS, LedgerPool, PoolConnection
from flashsale_ledger_api import metrics
from flashsale_ledger_api.settings import Settings

SCHEMA_VERSION = 17
"""The migration this release needs."""
_BEGIN = "select set_config('statement_timeout', $1, true), set_config('idle_in_transaction_session_timeout', $1, true)"


class Ledger:
    def __init__(self, settings: Settings) -> None:
        self._installation = settings.installation
        self._pool = LedgerPool(
            settings.database_url,
            settings.connections_max,
            settings.statement_timeout_seconds,
            metrics.DATABASE_UP,
            statement_cache=settings.statement_cache,
            begin=_BEGIN,
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PoolConnection]:
        """A connection with an open transaction, which ends with the block. Raises Retryable when Postgres is away or too slow."""
        try:
            async with self._pool.transaction() as connection:
                yield connection
        except SERVER_ERRORS as error:
            raise await self._pool.away(error) from error
        self._pool.reached()

    async def rows(self, query: str, *values: Any) -> list[asyncpg.Record]:
        """Raises Retryable when Postgres is away or too slow."""
        async with self.transaction() as connection:
            return list(await connection.fetch(query, *values))

    async def check(self) -> None:
        """Raises Retryable until the ledger takes writes, has a schema that is new enough for this release, and is this installation's."""
        await self._pool.check(SCHEMA_VERSION, self._installation)

    async def close(self) -> None:
        await self._pool.close()
