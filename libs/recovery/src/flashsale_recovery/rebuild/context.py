"""What a rebuild works with."""

from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg
from redis.asyncio import Redis

from flashsale_core.scripts import Scripts


@dataclass(frozen=True, slots=True)
class RebuildContext:
    redis: Redis
    scripts: Scripts
    ledger: "asyncpg.Connection[asyncpg.Record]"
    """Outside a transaction. It is used for nothing else until the rebuild has returned."""
    shard_count: int
    """How many shards the installation has."""
    incarnations: Mapping[int, int]
    """The incarnation of each shard's fence, whose state is `restoring`. A fence that changes meanwhile stops the rebuild."""
    grace_ms: int
    """How long buyers have, at least, to pay a hold after the sale goes on."""
    now_ms: int
    """Redis' clock."""
    stopped_ms: int | None = None
    """When the shards stopped: a hold that was due before may have been released. None: now."""
    attempt: str = ""
    """Which attempt at the recovery this is. If another one has begun, the rebuild stops; empty for tests and benchmarks."""
