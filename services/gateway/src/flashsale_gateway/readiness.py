"""Whether this gateway may take orders: Redis answers, knows the scripts, and will not forget or evict what it acknowledged.

And none of the gateway's own tasks is down.
"""

import asyncio
import logging

from redis.asyncio import Redis
from redis.exceptions import RedisError

from flashsale_core.faults import Server, in_words
from flashsale_core.scripts import Scripts, load_scripts, scripts_loaded
from flashsale_core.supervise import Supervisor
from flashsale_gateway import metrics
from flashsale_gateway.problems import Problem
from flashsale_redis import Health

log = logging.getLogger(__name__)


class Readiness:
    def __init__(self, redis: Redis, scripts: Scripts, timeout_seconds: float, require_durable: bool, supervisor: Supervisor) -> None:
        self._redis = redis
        self._scripts = scripts
        self._timeout_seconds = timeout_seconds
        self._require_durable = require_durable
        self._supervisor = supervisor
        self._health = Health(redis)
        self._reason: str | None = None

    async def check(self) -> None:
        """Raises Problem(not_ready) with the reason, which is logged when it is another one than before."""
        reason = await self._fault()
        self._tell(reason)
        if reason is not None:
            raise Problem("not_ready", reason)

    async def _fault(self) -> str | None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                if not await scripts_loaded(self._redis, self._scripts):
                    await load_scripts(self._redis, self._scripts)
                too_old, forgets = await self._health.faults()
        except (RedisError, OSError, TimeoutError) as error:
            return in_words(Server.REDIS, error)
        metrics.REDIS_DURABLE.set(forgets is None)
        return too_old or (forgets if self._require_durable else None) or self._supervisor.fault

    def _tell(self, reason: str | None) -> None:
        """A probe asks every few seconds: only what changed is news."""
        if reason == self._reason:
            return
        self._reason = reason
        if reason is None:
            log.info("readiness.ready")
        else:
            log.warning("readiness.not_ready", extra={"reason": reason})
