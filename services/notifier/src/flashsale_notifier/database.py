"""The notifier's connections to Postgres: runs named statements, each in a transaction, and translates errors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flashsale_core.entry_ranges import EntryRange
from flashsale_core.errors import Rejected
from flashsale_core.messages import Position
from flashsale_core.named_queries import named_queries
from flashsale_ledger import ROW_ERRORS, SERVER_ERRORS, LedgerPool
from flashsale_ledger.late_entries import late_positions
from flashsale_notifier import metrics

SCHEMA_VERSION = 18
"""The migration this release needs."""
CONNECTIONS_MAX = 6
# Postgres does not notice when this machine dies, and its rows stay locked for as long as the kernel waits.
_BEGIN = "select set_config('idle_in_transaction_session_timeout', $1, true)"


class Database:
    def __init__(self, url: str, timeout_seconds: float, retry_seconds: float, statement_cache: int, installation: str) -> None:
        self._installation = installation
        self._pool = LedgerPool(
            url,
            CONNECTIONS_MAX,
            timeout_seconds,
            metrics.DATABASE_UP,
            statement_cache=statement_cache,
            retry_seconds=retry_seconds,
            begin=_BEGIN,
        )

    async def run(self, name: str, *arguments: Any) -> list[Any]:
        """The rows of a statement of queries.sql. Raises Retryable when Postgres is away, Rejected when it refuses these values."""
        try:
            async with self._pool.transaction() as connection:
                rows = list(await connection.fetch(_QUERIES[name], *arguments))
        except ROW_ERRORS as error:
            raise Rejected(f"{type(error).__name__}: {error}") from error
        except SERVER_ERRORS as error:
            raise await self._pool.away(error) from error
        self._pool.reached()
        return rows

    async def late_positions(self, claimed: Sequence[EntryRange]) -> frozenset[Position]:
        """The entries that recovery has given up. Raises Retryable when Postgres is away."""
        try:
            async with self._pool.transaction() as connection:
                late = await late_positions(connection, claimed)
        except SERVER_ERRORS as error:
            raise await self._pool.away(error) from error
        self._pool.reached()
        return late

    async def check_schema(self) -> None:
        """Raises Retryable until the ledger takes writes, has a schema that is new enough for this release, and is this installation's."""
        await self._pool.check(SCHEMA_VERSION, self._installation)

    async def close(self) -> None:
        await self._pool.close()


_QUERIES = named_queries((Path(__file__).parent / "queries.sql").read_text())
