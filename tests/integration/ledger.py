"""The ledger for tests: all its rows as one value."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

_TABLES = {
    "sales": "select * from sales order by sale_id, epoch",
    "orders": "select * from orders order by sale_id, epoch, order_id",
    "order_events": "select * from order_events order by sale_id, epoch, order_id, state",
    "payments": "select * from payments order by payment_id, sale_id, order_id",
    "refunds": "select payment_id, sale_id, epoch, order_id, reason, amount_minor, currency, state, created_at"
    " from refunds order by payment_id, sale_id, order_id",
}
_OURS = "select string_agg(quote_ident(tablename), ', ') from pg_tables where schemaname = 'public' and tablename <> all($1)"
_KEPT = ["schema_migrations", "installation"]
Rows = dict[str, list[dict[str, Any]]]


class Ledger:
    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def empty(self) -> None:
        """Leave no row but the migrations' and the installation's."""
        tables = await self.connection.fetchval(_OURS, _KEPT)
        await self.connection.execute(f"truncate {tables}")

    async def rows(self) -> Rows:
        return {table: [dict(row) for row in await self.connection.fetch(query)] for table, query in _TABLES.items()}

    async def states(self) -> dict[str, str]:
        return {row["order_id"]: row["state"] for row in await self.connection.fetch("select order_id, state from orders")}

    async def received(self) -> list[tuple[int, int, int, int]]:
        """(shard, incarnation, first seq, last seq) of every row, in the order of these."""
        query = "select shard, incarnation, from_seq, to_seq from received_entries order by 1, 2, 3, 4"
        return [tuple(row) for row in await self.connection.fetch(query)]

    async def markers(self) -> list[str]:
        return [row["marker"] for row in await self.connection.fetch("select marker from markers order by marker")]

    async def count(self, table: str = "orders") -> int:
        return int(await self.connection.fetchval(f"select count(*) from {table}"))  # noqa: S608 - the tests' own names


@asynccontextmanager
async def open_ledger(database_url: str) -> AsyncIterator[Ledger]:
    connection = await asyncpg.connect(database_url)
    try:
        ledger = Ledger(connection)
        await ledger.empty()
        yield ledger
    finally:
        await connection.close()
