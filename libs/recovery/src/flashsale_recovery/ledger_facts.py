"""Reads what `next_step` must know of the ledger."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from redis.asyncio import Redis

from flashsale_core.keys import sale_keys, shard_keys, shard_of
from flashsale_recovery.facts import NEW, LedgerFacts, LedgerShard
from flashsale_recovery.ledger import Ledger


async def read_facts(ledger: Ledger, redis: Redis, shards: int) -> LedgerFacts:
    """Raises what asyncpg raises, and, if there is a shard that was never initialised, what a command to Redis raises."""
    facts = await ledger.facts()
    new = [shard for shard in range(shards) if _is_new(facts.shard(shard))]
    return await _compared(facts, ledger, redis, shards, new) if new else facts


def _is_new(known: LedgerShard) -> bool:
    """Whether the shard was never open; the keeper may have died while it opened it for the first time."""
    return known.incarnation == 0 or known.state == NEW


async def _compared(facts: LedgerFacts, ledger: Ledger, redis: Redis, shards: int, new: list[int]) -> LedgerFacts:
    """The facts with the new shards whose Redis lacks a sale: an emptied Redis lacks them all, and anything else is doubtful."""
    # The type stubs cover bytes and text; these are bytes.
    client: Any = redis
    members = {shard: await client.smembers(shard_keys(shard).sales) for shard in new}
    lacking: dict[int, str] = {}
    for sale_id, epoch in sorted((await ledger.sales()).items()):
        shard = shard_of(sale_id, shards)
        known = shard not in members or shard in lacking or sale_id.encode() in members[shard]
        if not known and not await _is_removed(client, sale_id, epoch, shards):
            lacking[shard] = sale_id
    return replace(facts, **_judged(lacking, is_empty=not any(members.values())))


def _judged(lacking: Mapping[int, str], *, is_empty: bool) -> dict[str, Any]:
    return {"lacking": frozenset(lacking)} if is_empty else {"doubtful": dict(lacking)}


async def _is_removed(client: Any, sale_id: str, epoch: int, shards: int) -> bool:
    """Whether Redis removed this sale, and the ledger was not told: its tombstone is left."""
    removed = await client.hget(sale_keys(sale_id, shards).sale, "removed_epoch")
    return removed is not None and removed.isdigit() and int(removed) >= epoch
