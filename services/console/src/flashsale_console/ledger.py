"""The ledger in Postgres, only read: every transaction is read-only, and every statement has a limit at both ends."""

from typing import Any

import asyncpg

from flashsale_console import metrics
from flashsale_console.queries import QUERIES
from flashsale_console.settings import Settings
from flashsale_core.errors import Retryable
from flashsale_ledger import SERVER_ERRORS, LedgerPool

SCHEMA_VERSION = 11
"""The migration this release needs: it has the index by which a buyer's orders are looked up."""
Row = dict[str, Any]
_BEGIN = "select set_config('statement_timeout', $1, true), set_config('transaction_read_only', 'on', true)"


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

    async def rows(self, query: str, *values: Any) -> list[Row]:
        """The rows of the statement of that name. Raises Retryable when Postgres is away or too slow."""
        try:
            async with self._pool.transaction() as connection:
                rows = [dict(row) for row in await connection.fetch(QUERIES[query], *values)]
        except SERVER_ERRORS as error:
            raise await self._pool.away(error) from error
        self._pool.reached()
        return rows

    async def row(self, query: str, *values: Any) -> Row | None:
        rows = await self.rows(query, *values)
        return rows[0] if rows else None

    async def check(self) -> None:
        """Raises Retryable until the ledger has a schema that is new enough, and is this installation's. A standby will do."""
        try:
            (schema,) = await self.rows("check_schema")
        except Retryable as error:
            if isinstance(error.__cause__, asyncpg.UndefinedTableError):
                raise Retryable("the ledger has no schema yet; run `flashsale migrate`", error.delay_seconds) from error
            raise
        if (schema["version"] or 0) < SCHEMA_VERSION:
            raise Retryable(f"the ledger's schema is {schema['version']}, this release needs {SCHEMA_VERSION}; run `flashsale migrate`", 1)
        if schema["owner"] not in (None, self._installation):
            words = f"the ledger belongs to the installation {schema['owner']!r}"
            raise Retryable(f"{words}, and FLASHSALE_INSTALLATION is {self._installation!r}", 1)

    async def close(self) -> None:
        await self._pool.close()
