"""Settles the positions of messages that `flashsale parked drop` deletes, so that nobody waits for their entries any more.

They then count as received: a person decided that the ledger never gets them. An entry that recovery has counted as lost stays lost.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import asyncpg

from flashsale_cli.ledger_connection import open_connection
from flashsale_core.errors import Retryable
from flashsale_core.faults import Server, describe_error
from flashsale_core.ledger_locks import RECEIVING
from flashsale_core.messages import Position
from flashsale_recovery.session import ERRORS

# A late entry must stay unknown to the ledger: a second copy of it would otherwise count as redelivered, and have an effect.
_SETTLE = """
insert into received_entries (shard, incarnation, from_seq, to_seq)
select shard, incarnation, seq, seq from unnest($1::int[], $2::bigint[], $3::bigint[]) as dropped (shard, incarnation, seq)
 where not exists (select from shards s where (s.shard, s.incarnation) = (dropped.shard, dropped.incarnation) and dropped.seq > s.kept_seq)
"""


class Ledger:
    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def settle(self, positions: Iterable[Position]) -> None:
        """Count entries as received. Raises Retryable if Postgres refuses or does not answer. A repeat changes nothing."""
        shards, incarnations, seqs = zip(*sorted(positions), strict=True)
        try:
            async with self._connection.transaction():
                # As a worker does: the keeper does not close an incarnation meanwhile.
                await self._connection.execute("select pg_advisory_xact_lock_shared($1)", RECEIVING)
                await self._connection.execute(_SETTLE, shards, incarnations, seqs)
        except ERRORS as error:
            raise Retryable(describe_error(Server.POSTGRES, error)) from error


@asynccontextmanager
async def open_ledger(database_url: str) -> AsyncIterator[Ledger | None]:
    """None without an address. Raises Retryable if Postgres does not answer."""
    if not database_url:
        yield None
        return
    async with open_connection(database_url) as connection:
        yield Ledger(connection)
