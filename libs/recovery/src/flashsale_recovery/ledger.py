"""The ledger's tables of the recovery. Only the keeper and `flashsale recover` write to `shards`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import asyncpg

from flashsale_core import crash
from flashsale_core.fence import SEQ_JUMP
from flashsale_core.ledger_locks import RECEIVING
from flashsale_core.positions import Range
from flashsale_recovery.facts import Installation, LedgerFacts, LedgerShard

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Key = tuple[int, int]
"""A shard and an incarnation of it."""

_INSTALLATION = "select name, ledger_id::text, shards from installation"
_SHARDS = """
select s.shard, s.incarnation, s.first_seq, s.state,
    coalesce((select max(to_seq) from received_entries r where (r.shard, r.incarnation) = (s.shard, s.incarnation)), 0) as received_seq
from (select distinct on (shard) * from shards order by shard, incarnation desc) s
"""
_LATELY_LOST = "select coalesce(sum(lost_entries), 0) from shards where opened_at > now() - interval '1 hour'"
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
_NOTE_LOST = """
update shards set lost_seqs = lost_seqs + t.seqs from (
    select s, i, range_agg(int8range(first, last, '[]')) as seqs
    from unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[]) as u (s, i, first, last) group by s, i
) t where (shard, incarnation) = (s, i)
"""
_AHEAD = """
select s from unnest($1::int[], $2::bigint[], $3::bigint[]) as t (s, i, seq)
where exists (select from received_entries where (shard, incarnation) = (s, i) and to_seq > seq) order by s
"""
# The last one, and those before it whose entries a reopening left in the outboxes and nobody has settled since.
_ENDED = """
select incarnation, first_seq, next_first_seq, kept_seq from (
    select *, max(incarnation) over () as newest from (
        select incarnation, first_seq, opened_at, lost_seqs, kept_seq, lead(first_seq) over (order by incarnation) as next_first_seq
        from shards where shard = $1
    ) s where incarnation < $2 and opened_at is not null
) e
where incarnation = newest or not lost_seqs + coalesce(
    (select range_agg(int8range(from_seq, to_seq, '[]')) from received_entries r where (r.shard, r.incarnation) = ($1, e.incarnation)), '{}'
) @> int8range(first_seq, greatest(first_seq, next_first_seq - $3 + 1))
order by incarnation
"""
# Merged by Postgres: an incarnation may have a row for each batch.
_SETTLED = """
select lower(r) as from_seq, upper(r) - 1 as to_seq from unnest(
    coalesce((select range_agg(int8range(from_seq, to_seq, '[]')) from received_entries
              where shard = $1 and incarnation = $2 and to_seq >= $3), '{}')
    + coalesce((select lost_seqs from shards where shard = $1 and incarnation = $2), '{}')
) as r
"""
# Since the first attempt to open again what was open last. An incarnation that the ledger shows as open may never have been opened.
_STOPPED = """
select coalesce(extract(epoch from now() - min(fenced_at)) * 1000, 0)::bigint
from shards s join unnest($1::int[], $2::bigint[]) as t (shard, unopened) using (shard)
where incarnation > coalesce(
    (select max(incarnation) from shards o where o.shard = s.shard and opened_at is not null and incarnation <> unopened), 0
)
"""
_BEING_WRITTEN = """
select virtualtransaction from pg_locks
 where locktype = 'advisory' and objsubid = 1 and granted and mode = 'ShareLock'
   and database = (select oid from pg_database where datname = current_database())
   and classid::bigint = $1::bigint >> 32 and objid::bigint = $1::bigint & 4294967295
"""
# A keeper that freezes here would hold up every order-worker.
_LIMIT_IDLE = "select set_config('idle_in_transaction_session_timeout', '10000', true)"
_CONSUMERS = "select distinct consumer from markers where marker = any($1::text[]) and consumer <> ''"
_MARKER = "select exists (select from markers where marker = $1)"
# A removed sale of the name may have a row of an earlier epoch that still says `open`.
_SALES = """
select sale_id, epoch from (select distinct on (sale_id) sale_id, epoch, state from sales order by sale_id, epoch desc) s
where state <> 'removed'
"""


class Ended(NamedTuple):
    """An incarnation that was open, and ended."""

    incarnation: int
    first_seq: int
    next_first_seq: int
    """The first position of the incarnation that follows."""
    closed_seq: int | None
    """Order-workers write no entry behind it any more; None if the incarnation is not closed."""

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
        lost = int(await self.connection.fetchval(_LATELY_LOST))
        return LedgerFacts(Installation(*row) if row is not None else None, shards, lately_lost=lost)

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

    async def set_open(self, incarnations: Mapping[int, int], replid: str, lost: Mapping[Key, Sequence[Range]]) -> None:
        """Note that the shards may be open from now on, and which entries of ended incarnations are lost: nobody counts them again."""
        losses = Counter[int]()
        for (shard, _), holes in lost.items():
            losses[shard] += sum(hole.size for hole in holes)
        rows = [(*key, *hole) for key, holes in lost.items() for hole in holes]
        crash.point("incarnation.opening")
        async with self.connection.transaction():
            if rows:
                await self.connection.execute(_NOTE_LOST, *map(list, zip(*rows, strict=True)))
            await self.connection.execute(
                _SET_OPEN, list(incarnations), list(incarnations.values()), replid, [losses[shard] for shard in incarnations]
            )
        crash.point("incarnation.opened")

    async def stopped_for_ms(self, unopened: Mapping[int, int]) -> int:
        """How long ago the first attempt began to open the shards again; 0 before it. Any clock's difference to the ledger's is left out.

        `unopened` has, by shard, an incarnation that Redis did not open, whatever the ledger has noted.
        """
        return int(await self.connection.fetchval(_STOPPED, list(unopened), list(unopened.values())))

    async def ended(self, shard: int, incarnation: int) -> list[Ended]:
        """The last incarnation before `incarnation` that was open, and those before it of which entries are neither here nor reported."""
        return [Ended(*row) for row in await self.connection.fetch(_ENDED, shard, incarnation, SEQ_JUMP)]

    async def settled(self, shard: int, incarnation: int, first_seq: int) -> list[Range]:
        """The entries that were received, from `first_seq` on, or reported as lost."""
        return [Range(row["from_seq"], row["to_seq"]) for row in await self.connection.fetch(_SETTLED, shard, incarnation, first_seq)]

    async def ahead_of(self, kept: Mapping[int, tuple[int, int]]) -> list[int]:
        """The shards of which a higher position was received than Redis had: `kept` is as in `close_former`."""
        rows = await self.connection.fetch(_AHEAD, list(kept), *map(list, zip(*kept.values(), strict=True)))
        return [row["s"] for row in rows]

    async def batches_being_written(self) -> list[str]:
        """The transactions in which order-workers write a batch at this moment, by names that no other one ever has."""
        return [row["virtualtransaction"] for row in await self.connection.fetch(_BEING_WRITTEN, RECEIVING)]

    async def has_marker(self, marker: str) -> bool:
        return bool(await self.connection.fetchval(_MARKER, marker))

    async def marker_consumers(self, markers: Sequence[str]) -> frozenset[str]:
        """The consumers of the queue that have read one of the markers, without those of order-workers of earlier releases."""
        return frozenset(row["consumer"] for row in await self.connection.fetch(_CONSUMERS, markers))

    async def sales(self) -> dict[str, int]:
        """The present sales with their epochs, without those that were removed."""
        return {row["sale_id"]: row["epoch"] for row in await self.connection.fetch(_SALES)}
