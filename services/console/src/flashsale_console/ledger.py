"""The ledger in Postgres, only read: every transaction is read-only, and every statement has a limit at both ends."""

from typing import Any

from flashsale_console import metrics
from flashsale_console.queries import QUERIES
from flashsale_console.settings import Settings
from flashsale_ledger import SERVER_ERRORS, LedgerPool

SCHEMA_VERSION = 17
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
        await self._pool.check(SCHEMA_VERSION, self._installation, writes=False)

    async def close(self) -> None:
        await self._pool.close()
