"""Whether this gateway may accept orders.

It may if Redis answers, has the scripts and keeps what it acknowledged, if every shard is open, and if all of the gateway's own tasks run.
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
from flashsale_gateway.history import History
from flashsale_gateway.single_flight import SingleFlight
from flashsale_redis import Health, refuse_replica

STUCK_TIMEOUTS = 3
"""A script call takes two timeouts at most, because it is repeated once. A request that has waited for three is stuck."""
CHECK_PAUSE_SECONDS = 0.1
"""Between the starts of two checks, however many probes ask."""
log = logging.getLogger(__name__)


class Progress:
    """Whether waiting requests get their decisions: a fault of the gateway could leave them waiting although Redis is well."""

    def __init__(self, ages: Sequence[Callable[[], float]], redis_timeout_seconds: float) -> None:
        """Each of `ages` returns for how many seconds something has made no progress."""
        self._ages = ages
        self._limit_seconds = STUCK_TIMEOUTS * redis_timeout_seconds
        metrics.WAITING_SECONDS.set_function(self.age_seconds)

    def age_seconds(self) -> float:
        return max(age() for age in self._ages)

    def check(self) -> None:
        """Raises NotReady if requests have waited for longer than any script call may take: only a restart helps then."""
        age_seconds = self.age_seconds()
        if age_seconds > self._limit_seconds:
            log.error("lane.stuck", extra={"age_seconds": round(age_seconds, 1)})
            raise NotReady(f"Requests have waited for {age_seconds:.0f} s without a decision")


class Readiness:
    def __init__(
        self, redis: Redis, scripts: Scripts, timeout_seconds: float, require_durable: bool, supervisor: Supervisor, history: History
    ) -> None:
        self._redis = redis
        self._scripts = scripts
        self._timeout_seconds = timeout_seconds
        self._require_durable = require_durable
        metrics.REDIS_DURABLE_REQUIRED.set(require_durable)
        self._supervisor = supervisor
        self._history = history
        self._health = Health(redis)
        self._reason: str | None = None
        self._checked = SingleFlight(self._check, CHECK_PAUSE_SECONDS)

    async def check(self) -> None:
        """Raises NotReady with the reason, which is logged when it changes. Probes that ask at the same time share a check."""
        await self._checked.get()

    async def _check(self) -> None:
        reason = await self._find_fault()
        self._log_change(reason)
        if reason is not None:
            raise NotReady(reason)

    async def _find_fault(self) -> str | None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await refuse_replica(self._redis)
                if not await scripts_loaded(self._redis, self._scripts):
                    await load_scripts(self._redis, self._scripts)
                too_old, not_durable = await self._health.faults()
        except (RedisError, OSError, TimeoutError) as error:
            return describe_error(Server.REDIS, error)
        metrics.REDIS_DURABLE.set(not_durable is None)
        return too_old or (not_durable if self._require_durable else None) or self._supervisor.fault or self._history.fault

    def _log_change(self, reason: str | None) -> None:
        """Probes ask every few seconds, so only a change is logged."""
        if reason == self._reason:
            return
        self._reason = reason
        if reason is None:
            log.info("readiness.ready")
        else:
            log.warning("readiness.not_ready", extra={"reason": reason})
