"""`Health`: what the servers say of themselves, for a gateway's readiness and a FlashSale's conditions."""

import logging
from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from flashsale_core.redis_info import durability_fault, first_fault, version_fault
from flashsale_redis.servers import fsync_policies, infos

log = logging.getLogger(__name__)


class Health:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._fsync_is_told = True

    async def faults(self) -> tuple[str | None, str | None]:
        """(why a server cannot be used, why one may forget what it acknowledged); None for what is right. Raises like a command."""
        servers = await infos(self._redis)
        policies = await self._fsync_policies()
        told = {address: {**info, **policies.get(address, {})} for address, info in servers.items()}
        return node_fault(servers) or first_fault(servers, version_fault), first_fault(told, durability_fault)

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


def node_fault(servers: Mapping[str, Mapping[str, Any]]) -> str | None:
    """A node of a cluster that is taken for a single server sends away most of what it is asked."""
    if servers.get("", {}).get("cluster_enabled"):
        return "Redis is a node of a Redis Cluster; write REDIS_URL as redis+cluster://"
    return None
