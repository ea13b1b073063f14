"""The second clock: overdue deadlines straight from Redis. Enough on its own when the broker lost a wait, or everything.

At rest a sweep is a look at the lowest deadline of every shard, one round trip to each server. Only shards with something overdue are
read, page by page.
"""

import asyncio
import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

from flashsale_core.errors import Rejected, Retryable
from flashsale_core.tracing import Tracing
from flashsale_timeout_worker import metrics
from flashsale_timeout_worker.calls import CHUNK
from flashsale_timeout_worker.expiry import Expiry, Fault, Outcome, Page
from flashsale_timeout_worker.settings import Settings
from flashsale_timeout_worker.spans import ExpirySpans

SOURCE = "sweep"
GROUPS_MAX = 16
SHARDS_MAX = 16
"""Most groups that are swept at once, and most shards of one whose pages are read together: so much of a sweep is in memory, however
many shards there are."""
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Swept:
    """What a sweep has found so far, in a group of shards."""

    orders: int = 0
    fault: Fault | None = None


class Sweeper:
    def __init__(self, expiry: Expiry, settings: Settings, tracing: Tracing | None = None) -> None:
        self._expiry = expiry
        self._spans = ExpirySpans(tracing or Tracing(None), settings.amqp_url, settings.redis_url)
        self._settings = settings
        self.fault: str | None = None
        """Why the last sweep was cut short; None when it was not."""
        self._turns = asyncio.Semaphore(GROUPS_MAX)
        self._cut: dict[int, int] = {}
        """The shards whose last sweep ended at its most pages, and how many orders of broken sales the next one passes over."""

    async def run(self) -> None:
        """Sweep until cancelled. Starts at a random moment of its interval, so that several workers do not sweep as one."""
        interval_seconds = self._settings.sweep_interval_ms / 1000
        await asyncio.sleep(random.uniform(0, interval_seconds))  # noqa: S311 - spreads load, keeps no secret
        while True:
            try:
                await self.sweep()
                self.fault = None
                await asyncio.sleep(interval_seconds)
            except Exception as error:
                # The broad catch is the edge: the next sweep starts from what Redis says then, and readiness tells of this one.
                self.fault = str(error) or type(error).__name__
                metrics.SWEEP_FAILURES.inc()
                log.warning("sweep.interrupted", extra={"reason": self.fault})
                await asyncio.sleep(self._settings.retry_seconds)

    async def sweep(self) -> int:
        """Expire what is overdue in all shards; returns how many were found. Raises Retryable or Rejected, after all were tried."""
        started = perf_counter()
        groups = await asyncio.gather(*[self._sweep_group(shards) for shards in self._expiry.groups])
        for swept in groups:
            if swept.fault is not None:
                raise swept.fault
        found = sum(swept.orders for swept in groups)
        metrics.OVERDUE_ORDERS.set(found)
        metrics.SWEEP_SECONDS.observe(perf_counter() - started)
        return found

    async def _sweep_group(self, shards: Sequence[int]) -> Swept:
        swept = Swept()
        async with self._turns:
            try:
                overdue = await self._expiry.overdue(shards, self._settings.sweep_grace_ms)
            except Retryable as error:
                # On a cluster the next group may be another master's.
                self._note(swept, error)
                return swept
            for start in range(0, len(overdue.shards), SHARDS_MAX):
                await self._sweep_shards(overdue.shards[start : start + SHARDS_MAX], overdue.latest_ms, swept)
        return swept

    async def _sweep_shards(self, shards: Sequence[int], latest_ms: int, swept: Swept) -> None:
        # A sweep that was cut short goes on where it stopped: from the front, a broken sale as long as a sweep would hide all behind it.
        skips = {shard: self._cut.pop(shard, 0) for shard in shards}
        for _ in range(self._settings.sweep_pages_max):
            if not skips:
                break
            skips = await self._sweep_pages(skips, latest_ms, swept)
        self._cut.update(skips)

    async def _sweep_pages(self, skips: Mapping[int, int], latest_ms: int, swept: Swept) -> dict[int, int]:
        """A page of each shard; returns how much to pass over in those that have another one."""
        started_ns = time.time_ns()
        pages: dict[int, Page] = {}
        for shard, page in (await self._expiry.pages(skips, latest_ms, CHUNK)).items():
            if isinstance(page, Rejected | Retryable):
                self._note(swept, page)
            else:
                pages[shard] = page
        # A sale is of one shard.
        orders = {sale_id: order_ids for page in pages.values() for sale_id, order_ids in page.items()}
        outcomes = await self._expiry.expire(orders, SOURCE)
        swept.orders += sum(map(len, orders.values()))
        for sale_id, outcome in outcomes.items():
            self._tell(sale_id, len(orders[sale_id]), outcome, started_ns, swept)
        return go_on(skips, pages, outcomes)

    def _tell(self, sale_id: str, orders: int, outcome: Outcome, started_ns: int, swept: Swept) -> None:
        self._spans.swept(sale_id, outcome.expired, started_ns)
        if isinstance(outcome.fault, Rejected):
            metrics.SWEEP_REFUSED.inc(orders)
            log.error("sweep.refused", extra={"sale_id": sale_id, "orders": orders, "reason": outcome.fault.reason})
        elif outcome.fault is not None:
            self._note(swept, outcome.fault)

    def _note(self, swept: Swept, fault: Fault) -> None:
        # Told at once: other groups may be busy for long.
        swept.fault, self.fault = fault, str(fault)


def go_on(skips: Mapping[int, int], pages: Mapping[int, Page], outcomes: Mapping[str, Outcome]) -> dict[int, int]:
    """Which shards have another page, and how many orders at its front to pass over.

    Those of a broken sale stay, and must not hold up the other sales of their shard; every other order of a page leaves the set: expired,
    or found to be no hold. A short page was the last. Where Redis is away the next sweep goes on.
    """
    more: dict[int, int] = {}
    for shard, page in pages.items():
        faults = {sale_id: outcomes[sale_id].fault for sale_id in page}
        away = any(isinstance(fault, Retryable) for fault in faults.values())
        if sum(map(len, page.values())) == CHUNK and not away:
            more[shard] = skips[shard] + sum(len(page[sale_id]) for sale_id, fault in faults.items() if fault is not None)
    return more
