"""Faults that the Redis servers report of themselves, for the readiness of gateways and the conditions of FlashSales."""

import logging
from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from flashsale_core.redis_info import durability_fault, first_fault, replicas_fault, version_fault
from flashsale_redis.servers import infos, safety_settings

log = logging.getLogger(__name__)


class Health:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._settings_are_known = True

    async def faults(self) -> tuple[str | None, str | None]:
        """(why a server cannot be used, why one may lose what it acknowledged), each None without a fault. Raises like a command."""
        servers = await infos(self._redis)
        settings = await self._safety_settings()
        complete = {address: {**info, **settings.get(address, {})} for address, info in servers.items()}
        unusable = node_fault(servers) or first_fault(servers, version_fault) or no_master_writes(complete)
        return unusable, first_fault(complete, durability_fault)

    async def _safety_settings(self) -> Mapping[str, Mapping[Any, Any]]:
        """INFO does not contain them. Where CONFIG GET is forbidden (a managed Redis, an ACL), that is logged once and is no fault."""
        if not self._settings_are_known:
            return {}
        try:
            return await safety_settings(self._redis)
        except ResponseError as error:
            self._settings_are_known = False
            log.warning("redis.appendfsync_unknown", extra={"reason": str(error)})
            return {}


def node_fault(servers: Mapping[str, Mapping[str, Any]]) -> str | None:
    """A cluster's node that is used as a single server redirects most commands, so this is a fault."""
    if servers.get("", {}).get("cluster_enabled"):
        return "Redis is a node of a Redis Cluster; write REDIS_URL as redis+cluster://"
    return None


def no_master_writes(servers: Mapping[str, Mapping[str, Any]]) -> str | None:
    """A master that lacks its replicas refuses only its own sales, so this is a fault if every master does."""
    if all(replicas_fault(info) for info in servers.values()):
        return first_fault(servers, replicas_fault)
    return None
