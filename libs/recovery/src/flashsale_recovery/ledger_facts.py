"""Reads what `next_step` must know of the ledger."""

from dataclasses import replace
from typing import Any

from redis.asyncio import Redis

from flashsale_core.keys import shard_keys, shard_of
from flashsale_recovery.facts import LedgerFacts
from flashsale_recovery.ledger import Ledger


async def read_facts(ledger: Ledger, redis: Redis, shards: int) -> LedgerFacts:
    """Raises what asyncpg raises, and, if there is a shard that was never initialised, what a command to Redis raises."""
    facts = await ledger.facts()
    new = [shard for shard in range(shards) if facts.shard(shard).incarnation == 0]
    return replace(facts, lacking=await _lacking(ledger, redis, shards, new)) if new else facts


async def _lacking(ledger: Ledger, redis: Redis, shards: int, new: list[int]) -> frozenset[int]:
    sales = [(sale_id, shard_of(sale_id, shards)) for sale_id in await ledger.sale_ids()]
    lacking = set()
    for shard in {shard for _, shard in sales} & set(new):
        # The type stubs cover bytes and text; these are bytes.
        members: Any = await redis.smembers(shard_keys(shard).sales)
        if {sale_id.encode() for sale_id, of in sales if of == shard} - members:
            lacking.add(shard)
    return frozenset(lacking)
