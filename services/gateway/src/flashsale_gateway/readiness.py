"""Whether this gateway may take orders: Redis answers, knows the scripts, and will not forget or evict what it acknowledged."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from flashsale_core.scripts import Scripts, load_scripts, scripts_loaded
from flashsale_gateway import metrics
from flashsale_gateway.problems import Problem
from flashsale_redis import fsync_policies, infos

log = logging.getLogger(__name__)


class Readiness:
    def __init__(self, redis: Redis, scripts: Scripts, timeout_seconds: float, require_durable: bool) -> None:
        self._redis = redis
        self._scripts = scripts
        self._timeout_seconds = timeout_seconds
        self._require_durable = require_durable
        self._fsync_is_told = True

    async def check(self) -> None:
        """Raises Problem(not_ready) with the reason."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._check()
        except (RedisError, OSError, TimeoutError) as error:
            raise Problem("not_ready", f"Redis: {_in_words(error)}") from error

    async def _check(self) -> None:
        if not await scripts_loaded(self._redis, self._scripts):
            await load_scripts(self._redis, self._scripts)
        servers = await infos(self._redis)
        policies = await self._fsync_policies()
        told = {address: {**info, **policies.get(address, {})} for address, info in servers.items()}
        forgets = _first_fault(told, durability_fault)
        metrics.REDIS_DURABLE.set(forgets is None)
        fault = _first_fault(servers, version_fault) or (forgets if self._require_durable else None)
        if fault is not None:
            raise Problem("not_ready", fault)

    async def _fsync_policies(self) -> Mapping[str, Mapping[Any, Any]]:
        """INFO does not have it. Where CONFIG GET is forbidden (a managed Redis, an ACL) it stays unknown: no fault, said once."""
        if not self._fsync_is_told:
            return {}
        try:
            return await fsync_policies(self._redis)
        except ResponseError as error:
            self._fsync_is_told = False
            log.warning("redis.appendfsync_unknown", extra={"reason": str(error)})
            return {}


def _first_fault(servers: Mapping[str, Mapping[str, object]], judge: Callable[[Mapping[str, object]], str | None]) -> str | None:
    """Of the masters that answer. One that is away keeps its own sales from selling, and the others' not."""
    for address, info in servers.items():
        if (fault := judge(info)) is not None:
            return f"{address}: {fault}" if address else fault
    return None


def version_fault(info: Mapping[str, object]) -> str | None:
    """None when the scripts can run on this server: Redis >= 7.0, or Valkey, which tells of a Redis version too."""
    version = str(info.get("redis_version", ""))
    major = version.split(".")[0]
    return f"Redis {version} is too old; use Redis >= 7.0 or Valkey >= 8" if major.isdigit() and int(major) < 7 else None


def durability_fault(info: Mapping[str, object]) -> str | None:
    """What in Redis' INFO, with its `appendfsync` where it tells, breaks the promise that an acknowledged order is never forgotten."""
    if not info.get("aof_enabled"):
        return "Redis keeps no append-only file; set `appendonly yes` and `appendfsync always`"
    if info.get("appendfsync", "always") != "always":
        return f"Redis answers before its disk has it (appendfsync {info['appendfsync']}); set `appendfsync always`"
    if info.get("aof_last_write_status") == "err":
        return "Redis cannot write its append-only file; look at its disk"
    if info.get("maxmemory_policy") != "noeviction":
        return f"Redis may evict sales (maxmemory-policy {info.get('maxmemory_policy')}); set `maxmemory-policy noeviction`"
    return None


def _in_words(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if "WRONGPASS" in text or "NOAUTH" in text or "invalid username-password" in text:
        return f"{text} (the gateway's user or password is wrong: look at REDIS_URL and the Secret it comes from)"
    return text
