"""Whether this gateway may take orders: Redis answers, knows the scripts, and will not forget or evict what it acknowledged."""

import asyncio

from redis.asyncio import Redis
from redis.exceptions import RedisError

from flashsale_core.scripts import Scripts, load_scripts, scripts_loaded
from flashsale_gateway.problems import Problem


class Readiness:
    def __init__(self, redis: Redis, scripts: Scripts, timeout_seconds: float, require_durable: bool) -> None:
        self._redis = redis
        self._scripts = scripts
        self._timeout_seconds = timeout_seconds
        self._require_durable = require_durable

    async def check(self) -> None:
        """Raises Problem(not_ready) with the reason."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._check()
        except (RedisError, OSError, TimeoutError) as error:
            raise Problem("not_ready", f"Redis: {error or type(error).__name__}") from error

    async def _check(self) -> None:
        if not await scripts_loaded(self._redis, self._scripts):
            await load_scripts(self._redis, self._scripts)
        info = await self._redis.info("everything")
        fault = durability_fault(info) if self._require_durable else None
        if fault is not None:
            raise Problem("not_ready", fault)


def durability_fault(info: dict[str, object]) -> str | None:
    """What in Redis' INFO breaks the promise that an acknowledged order is never forgotten; None when nothing does."""
    if not info.get("aof_enabled"):
        return "Redis keeps no append-only file; set `appendonly yes` and `appendfsync always`"
    if info.get("aof_last_write_status") == "err":
        return "Redis cannot write its append-only file; look at its disk"
    if info.get("maxmemory_policy") != "noeviction":
        return f"Redis may evict sales (maxmemory-policy {info.get('maxmemory_policy')}); set `maxmemory-policy noeviction`"
    return None
