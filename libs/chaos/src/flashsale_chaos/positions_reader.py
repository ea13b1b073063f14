"""Reads from the ledger which entries it received, and how each incarnation of each shard ended. It only reads."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from flashsale_chaos.facts_reader import READ_SECONDS
from flashsale_chaos.verdict.taken import Ledger, Shard
from flashsale_core.positions import Range

_SHARDS = """
select shard, incarnation, first_seq, coalesce(lost_entries, 0) as lost_entries, kept_seq, extract(epoch from opened_at)::float8 as opened
from shards order by shard, incarnation
"""
_RECEIVED = """
select shard, incarnation, lower(r) as first, upper(r) - 1 as last from (
    select shard, incarnation, unnest(range_agg(int8range(from_seq, to_seq, '[]'))) as r from received_entries group by shard, incarnation
) merged order by 1, 2, 3
"""


async def read_positions(database_url: str) -> Ledger:
    """Raises what asyncpg raises."""
    database: Any = await asyncpg.connect(database_url, timeout=READ_SECONDS, command_timeout=READ_SECONDS)
    try:
        async with database.transaction(isolation="repeatable_read", readonly=True):
            return ledger_of(await database.fetch(_SHARDS), await database.fetch(_RECEIVED))
    finally:
        await database.close()


def ledger_of(shards: Sequence[Mapping[str, Any]], received: Sequence[Mapping[str, Any]]) -> Ledger:
    to_monotonic = time.monotonic() - time.time()
    by_shard: dict[int, list[Shard]] = {}
    for row in shards:
        opened = None if row["opened"] is None else row["opened"] + to_monotonic
        known = Shard(row["incarnation"], row["first_seq"], row["lost_entries"], row["kept_seq"], opened)
        by_shard.setdefault(row["shard"], []).append(known)
    ranges: dict[tuple[int, int], list[Range]] = {}
    for row in received:
        ranges.setdefault((row["shard"], row["incarnation"]), []).append(Range(row["first"], row["last"]))
    return Ledger(by_shard, ranges)
