"""The ledger's tables of the recovery. Only the keeper and `flashsale recover` write to `shards`."""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import asyncpg

from flashsale_core import crash
from flashsale_core.fence import SEQ_JUMP
from flashsale_core.ledger_locks import RECEIVING
from flashsale_core.positions import Range
from flashsale_recovery.facts import Installation, LedgerFacts, LedgerShard

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_INSTALLATION = "select name, ledger_id::text, shards from installation"
_SHARDS = """
select s.shard, s.incarnation, s.first_seq, s.state,
    coalesce((select max(to_seq) from received_entries r where (r.shard, r.incarnation) = (s.shard, s.incarnation)), 0) as received_seq
from (select distinct on (shard) * from shards order by shard, incarnation desc) s
"""
_ADD = """
insert into shards (shard, incarnation, first_seq, state, replid, fenced_at, opened_at)
select *, $4, $5, now(), case when $4 = 'open' then now() end from unnest($1::int[], $2::bigint[], $3::bigint[])
on conflict (shard, incarnation) do nothing
"""
_SET_STATE = "update shards set state = $3 from unnest($1::int[], $2::bigint[]) as t (s, i) where (shard, incarnation) = (s, i)"
# A Redis that lost more than an earlier recovery had kept lowers what is kept of every incarnation: positions rise over all of them.
_CLOSE = """
update shards set kept_seq = least(
    coalesce(kept_seq, case when incarnation = kept then greatest(seq, first_seq - 1) else first_seq - 1 end), greatest(seq, first_seq - 1)
)
from unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[]) as t (s, i, kept, seq)
where shard = s and incarnation < i
"""
_SET_OPEN = """
update shards set state = 'open', replid = $3, opened_at = now(), lost_entries = coalesce(lost_entries, 0) + lost
from unnest($1::int[], $2::bigint[], $4::bigint[]) as t (s, i, lost) where (shard, incarnation) = (s, i)
"""
_PREVIOUS = """
select incarnation, first_seq, lead_seq from (
    select incarnation, first_seq, opened_at, lead(first_seq) over (order by incarnation) as lead_seq from shards where shard = $1
) s where incarnation < $2 and opened_at is not null order by incarnation desc limit 1
"""
# Merged by Postgres: an incarnation may have a row for each batch.
_RECEIVED = """
select lower(r) as from_seq, upper(r) - 1 as to_seq from (
    select unnest(range_agg(int8range(from_seq, to_seq, '[]'))) as r from received_entries
    where shard = $1 and incarnation = $2 and to_seq >= $3
) merged
"""
# A keeper that freezes here would hold up every order-worker.
_LIMIT_IDLE = "select set_config('idle_in_transaction_session_timeout', '10000', true)"
_MARKER = "select exists (select from markers where marker = $1)"
# A removed sale of the name may have a row of an earlier epoch that still says `open`.
_SALES = """
select sale_id, epoch from (select distinct on (sale_id) sale_id, epoch, state from sales order by sale_id, epoch desc) s
where state <> 'removed'
"""


class Previous(NamedTuple):
    """An incarnation that was open, and ended."""

    incarnation: int
    first_seq: int
    next_first_seq: int
    """The first position of the incarnation that follows."""

    def last_seq(self, attested_seq: int) -> int:
        """The highest position that is known to be given: when it ended, or by a gateway that attested afterwards."""
        known = self.next_first_seq - SEQ_JUMP
        return max(known, attested_seq) if attested_seq < self.next_first_seq else known


class Ledger:
    """Every method raises what asyncpg raises."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def facts(self) -> LedgerFacts:
        row = await self.connection.fetchrow(_INSTALLATION)
        shards = {
            record["shard"]: LedgerShard(record["incarnation"], record["first_seq"], record["state"], record["received_seq"])
            for record in await self.connection.fetch(_SHARDS)
        }
        return LedgerFacts(Installation(*row) if row is not None else None, shards)

    async def add(self, first_seqs: Mapping[int, int], incarnations: Mapping[int, int], state: str, replid: str) -> None:
        """Add an incarnation of each shard. One that exists stays as it is."""
        shards = sorted(incarnations)
        columns = (shards, [incarnations[shard] for shard in shards], [first_seqs[shard] for shard in shards])
        crash.point("incarnation.adding")
        await self.connection.execute(_ADD, *columns, state, replid)
        crash.point("incarnation.added")

    async def set_state(self, incarnations: Mapping[int, int], state: str) -> None:
        await self.connection.execute(_SET_STATE, list(incarnations), list(incarnations.values()), state)
        crash.point("incarnation.moved")

    async def close_former(self, incarnations: Mapping[int, int], kept: Mapping[int, tuple[int, int]], state: str) -> None:
        """Close all incarnations before these, and set the state of these.

        `kept` has, by shard, the incarnation that Redis was in, and its last position. Order-workers treat what arrives behind it as late.
        """
        columns = ([kept[shard][0] for shard in incarnations], [kept[shard][1] for shard in incarnations])
        async with self.connection.transaction():
            # Batches that are being written end first, and those that begin later see the incarnation closed.
            await self.connection.execute(_LIMIT_IDLE)
            await self.connection.execute("select pg_advisory_xact_lock($1)", RECEIVING)
            await self.connection.execute(_CLOSE, list(incarnations), list(incarnations.values()), *columns)
            await self.set_state(incarnations, state)
            crash.point("incarnation.closing")
        crash.point("incarnation.closed")

    async def set_open(self, incarnations: Mapping[int, int], replid: str, lost: Mapping[int, int]) -> None:
        """Note that the shards may be open from now on, and how many entries of the previous incarnation are lost."""
        losses = [lost.get(shard, 0) for shard in incarnations]
        crash.point("incarnation.opening")
        await self.connection.execute(_SET_OPEN, list(incarnations), list(incarnations.values()), replid, losses)
        crash.point("incarnation.opened")

    async def previous(self, shard: int, incarnation: int) -> Previous | None:
        """The last incarnation before `incarnation` that was open; None if there is none."""
        row = await self.connection.fetchrow(_PREVIOUS, shard, incarnation)
        return Previous(row["incarnation"], row["first_seq"], row["lead_seq"]) if row is not None else None

    async def received(self, shard: int, incarnation: int, first_seq: int) -> list[Range]:
        return [Range(row["from_seq"], row["to_seq"]) for row in await self.connection.fetch(_RECEIVED, shard, incarnation, first_seq)]

    async def has_marker(self, marker: str) -> bool:
        return bool(await self.connection.fetchval(_MARKER, marker))

    async def sales(self) -> dict[str, int]:
        """The present sales with their epochs, without those that were removed."""
        return {row["sale_id"]: row["epoch"] for row in await self.connection.fetch(_SALES)}
