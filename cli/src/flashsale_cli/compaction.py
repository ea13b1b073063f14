"""Keeps `received_entries` small: older ranges that touch become one range. Called by `flashsale ledger prune`.

No position is forgotten, so nothing that is asked of the table gets another answer. What remains is one range for each incarnation, and one
more for each hole.
"""

from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from flashsale_cli.retention import LOCK_TIMEOUT_SECONDS, owner_connection

SETTLED_AGE = timedelta(hours=1)
"""Younger rows stay as they were written: they show when each batch arrived."""
RANGES_BATCH = 20_000
"""Most ranges merged in one transaction."""

_INCARNATIONS = "select distinct shard, incarnation from received_entries order by shard, incarnation"
# A row begins an island if it does not touch any row before it.
_ISLANDS = """
    edges as (
        select *, max(to_seq) over (order by from_seq, to_seq rows between unbounded preceding and 1 preceding) as reached from {source}
    ), islands as (
        select *, count(*) filter (where reached is null or from_seq > reached + 1) over (order by from_seq, to_seq) as island from edges
    )
"""
_COUNT = f"""
    with old as (
        select from_seq, to_seq from received_entries where (shard, incarnation) = ($1, $2) and at < now() - $3::interval
    ), {_ISLANDS.format(source="old")}
    select count(*), count(distinct island) from islands
"""  # noqa: S608 - only the text above
# Only rows that this statement deletes are added again: a second run at the same time waits, and then merges nothing twice.
_MERGE = f"""
    with batch as (
        select ctid from received_entries
         where (shard, incarnation) = ($1, $2) and at < now() - $3::interval and to_seq >= $4 order by to_seq limit $5
    ), gone as (
        delete from received_entries r using batch where r.ctid = batch.ctid returning from_seq, to_seq, at
    ), {_ISLANDS.format(source="gone")}, merged as (
        insert into received_entries (shard, incarnation, from_seq, to_seq, at)
        select $1, $2, min(from_seq), max(to_seq), max(at) from islands group by island returning to_seq
    )
    select (select count(*) from gone), (select count(*) from merged), (select max(to_seq) from merged)
"""  # noqa: S608 - only the text above
_MARKERS = "select count(*) from markers where at < now() - $1::interval"
_DELETE_MARKERS = "with gone as (delete from markers where at < now() - $1::interval returning 1) select count(*) from gone"


@dataclass(frozen=True, slots=True)
class Compacted:
    """How many rows older than SETTLED_AGE there were and are left, or would be left in a dry run; and how many markers were deleted."""

    ranges_before: int
    ranges_after: int
    markers: int


async def compact(database_url: str, older_than: timedelta, *, dry_run: bool) -> Compacted:
    """Merge the settled ranges, and delete the markers that are older than `older_than`.

    Raises Retryable if Postgres refuses or does not answer; what was merged before that stays merged.
    """
    before = after = 0
    async with owner_connection(database_url) as connection:
        for shard, incarnation in await connection.fetch(_INCARNATIONS):
            counts = await (_count(connection, shard, incarnation) if dry_run else _merge(connection, shard, incarnation))
            before, after = before + counts[0], after + counts[1]
        markers = await connection.fetchval(_MARKERS if dry_run else _DELETE_MARKERS, older_than)
    return Compacted(before, after, int(markers))


async def _count(connection: asyncpg.Connection, shard: int, incarnation: int) -> tuple[int, int]:
    row = await connection.fetchrow(_COUNT, shard, incarnation, SETTLED_AGE)
    return tuple(row or (0, 0))


async def _merge(connection: asyncpg.Connection, shard: int, incarnation: int) -> tuple[int, int]:
    """Merge batch after batch. The last range of a batch is also the first of the next, because the two may touch."""
    before = after = 0
    reached, full = 0, True
    while full:
        async with connection.transaction():
            await connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'; set local flashsale.prune = 'on'")
            gone, merged, last = await connection.fetchrow(_MERGE, shard, incarnation, SETTLED_AGE, reached, RANGES_BATCH) or (0, 0, None)
        # The first range of this batch was counted as the last of the previous one.
        again = int(reached > 0 and gone > 0)
        before, after = before + gone - again, after + merged - again
        full, reached = gone == RANGES_BATCH and last is not None, last or 0
    return before, after
