"""The second pair of eyes: every few seconds all sales are held against their resources, whatever events were lost.

It only wakes up the resources that need it. A thousand kopf timers that read Redis each on its own would keep a core busy.
"""

import asyncio
import logging
from collections.abc import Mapping

from flashsale_core.errors import Retryable
from flashsale_operator import metrics
from flashsale_operator.cache import Memory, Remembered
from flashsale_operator.reconcile import Reconciler
from flashsale_operator.settings import Settings

CHUNK = 250
"""Most sales read in one round trip."""
WRITES_MAX = 100
"""Most resources woken in one sweep for nothing but new numbers: the longest unwritten first."""
log = logging.getLogger(__name__)


class Sweep:
    def __init__(self, reconciler: Reconciler, memory: Memory, settings: Settings) -> None:
        self._reconciler = reconciler
        self._memory = memory
        self._settings = settings
        self._turned_at: float | None = None

    def silent_seconds(self) -> float:
        """For how long the loop has not turned. A turn that failed is one: without Redis we are not ready, and a restart brings nothing."""
        return 0.0 if self._turned_at is None else asyncio.get_running_loop().time() - self._turned_at

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            self._turned_at = asyncio.get_running_loop().time()
            await asyncio.sleep(self._settings.reconcile_seconds)
            try:
                await self.sweep()
            except Retryable as error:
                # Those that were Ready are not any more: each finds out for itself, and says so in its status.
                metrics.RECONCILE_ERRORS.inc()
                log.warning("sweep.interrupted", extra={"reason": str(error)})
                self._wake_all()
            except Exception:
                # The broad catch is the edge: one thing we did not foresee must not end the watch over all sales. An alert tells of it.
                metrics.RECONCILE_ERRORS.inc()
                log.exception("sweep.failed")

    async def sweep(self) -> None:
        """Raises Retryable when Redis is away."""
        numbers_only: list[Remembered] = []
        await self._reconciler.ask_redis()
        known = self._memory.all()
        for start in range(0, len(known), CHUNK):
            chunk = known[start : start + CHUNK]
            sales = await self._reconciler.read([one.resource.product_id for one in chunk])
            now = asyncio.get_running_loop().time()
            for one, sale in zip(chunk, sales, strict=True):
                try:
                    if self._look(one, sale, now):
                        numbers_only.append(one)
                except Exception:
                    # One sale we did not foresee must not hide all the others.
                    metrics.RECONCILE_ERRORS.inc()
                    log.exception("sweep.skipped", extra={"flashsale": f"{one.resource.namespace}/{one.resource.name}"})
        for one in sorted(numbers_only, key=lambda one: one.stock_written)[:WRITES_MAX]:
            one.wake.set()
        self._memory.reconciled()
        self._memory.count()

    def _look(self, one: Remembered, sale: Mapping[str, str], now: float) -> bool:
        """Wake the resource if something must be done or said; returns whether only its numbers are new."""
        one.believe(now)
        status = self._reconciler.judge(one.resource, sale, one.status)
        if status is None or one.worth_writing(status, now, float("inf")):
            one.wake.set()
            return False
        return one.worth_writing(status, now, self._settings.status_seconds)

    def _wake_all(self) -> None:
        for one in self._memory.all():
            if one.status.get("conditions", [{}])[0].get("reason") != "RedisUnavailable":
                one.wake.set()
