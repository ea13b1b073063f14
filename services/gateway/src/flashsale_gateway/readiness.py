"""Whether this gateway may take orders: Redis answers, knows the scripts, and will not forget or evict what it acknowledged.

And none of the gateway's own tasks is down.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError

from flashsale_core.faults import Server, describe_error
from flashsale_core.scripts import Scripts, load_scripts, scripts_loaded
from flashsale_core.supervise import Supervisor
from flashsale_gateway import metrics
from flashsale_gateway.errors import NotReady
from flashsale_gateway.single_flight import SingleFlight
from flashsale_redis import Health, refuse_replica

LOST_TIMEOUTS = 3
"""A script call takes two timeouts at most, for it is repeated once; what waits for longer than three waits for nothing."""
CHECK_PAUSE_SECONDS = 0.1
"""Between the beginnings of two checks, however many ask."""
log = logging.getLogger(__name__)


class Progress:
    """Whether requests that wait for Redis get their decisions: a fault of ours in between would leave them waiting, with Redis well."""

    def __init__(self, ages: Sequence[Callable[[], float]], redis_timeout_seconds: float) -> None:
        """`ages` return for how many seconds something has waited without progress."""
        self._ages = ages
        self._limit_seconds = LOST_TIMEOUTS * redis_timeout_seconds
        metrics.WAITING_SECONDS.set_function(self.age_seconds)

    def age_seconds(self) -> float:
        return max(age() for age in self._ages)

    def check(self) -> None:
        """Raises NotReady when requests wait for longer than any script call may take: only a restart helps."""
        age_seconds = self.age_seconds()
        if age_seconds > self._limit_seconds:
            log.error("lane.stuck", extra={"age_seconds": round(age_seconds, 1)})
            raise NotReady(f"Requests have waited for {age_seconds:.0f} s without being decided")


class Readiness:
    def __init__(self, redis: Redis, scripts: Scripts, timeout_seconds: float, require_durable: bool, supervisor: Supervisor) -> None:
        self._redis = redis
        self._scripts = scripts
        self._timeout_seconds = timeout_seconds
        self._require_durable = require_durable
        self._supervisor = supervisor
        self._health = Health(redis)
        self._reason: str | None = None
        self._checked = SingleFlight(self._check, CHECK_PAUSE_SECONDS)

    async def check(self) -> None:
        """Raises NotReady with the reason, which is logged when it changes. All who ask at once share a check."""
        await self._checked.get()

    async def _check(self) -> None:
        reason = await self._fault()
        self._tell(reason)
        if reason is not None:
            raise NotReady(reason)

    async def _fault(self) -> str | None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await refuse_replica(self._redis)
                if not await scripts_loaded(self._redis, self._scripts):
                    await load_scripts(self._redis, self._scripts)
                too_old, forgets = await self._health.faults()
        except (RedisError, OSError, TimeoutError) as error:
            return describe_error(Server.REDIS, error)
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
