"""Refuses to compare a Redis with the ledger of another installation, or with another number of shards: every sale would seem lost."""

from typing import Any

from redis.asyncio import Redis

from flashsale_core.errors import SettingsError
from flashsale_core.fence import Fence
from flashsale_redis.fences import read_fence

_INSTALLATION = "select name, shards, ledger_id::text as ledger_id from installation"


async def refuse_mixed(redis: Redis, database: Any, shards: int) -> None:
    """Raises SettingsError with the variable that is wrong, and what the stores raise. A store without an owner is no stranger."""
    try:
        fence = await read_fence(redis, 0)
    except ValueError:
        # A fence that cannot be read is no proof, and whoever reads the positions names it.
        fence = Fence()
    ours = await database.fetchrow(_INSTALLATION)
    known = ours["shards"] if ours is not None else fence.shards or shards
    if known != shards:
        raise SettingsError(f"FLASHSALE_SHARDS is {shards}, and the data has {known} shards: set it to {known}")
    if ours is not None and fence.ledger not in ("", ours["ledger_id"]):
        raise SettingsError(
            f"REDIS_URL leads to the Redis of the installation {fence.installation!r}, and DATABASE_URL to the ledger of {ours['name']!r} "
            f"({ours['ledger_id']}), but this Redis belongs to the ledger {fence.ledger}"
        )
