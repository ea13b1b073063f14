"""The second clock: expires overdue holds straight from Redis. It is enough on its own when the broker lost messages.

An idle sweep reads the lowest deadline of every shard, in one round trip to each server. Only shards with overdue orders are read further,
page by page.
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
SLOT_GROUPS_MAX = 16
SHARDS_MAX = 16
"""Most slot groups that are swept at once, and most shards of one group whose pages are read together. They bound a sweep's memory,
whatever the number of shards."""
log = logging.getLogger(__name__)


@dataclass(slots=True)
class GroupSweep:
    """The result of a sweep so far, in one slot group."""

    orders: int = 0
    fault: Fault | None = None


class Sweeper:
    def __init__(self, expiry: Expiry, settings: Settings, tracing: Tracing | None = None) -> None:
        self._expiry = expiry
        self._spans = ExpirySpans(tracing or Tracing(None), settings.amqp_url, settings.redis_url)
        self._settings = settings
        self.fault: str | None = None
        """Why the last sweep was incomplete; None when it was complete."""
        self._slot_groups = asyncio.Semaphore(SLOT_GROUPS_MAX)
        self._unfinished: dict[int, int] = {}
        """The offsets at which the next sweep continues, by shard, where the last one ended at its maximum of pages."""

    async def run(self) -> None:
        """Sweep until cancelled. The first sweep starts at a random time, so that several workers do not sweep at the same time."""
        interval_seconds = self._settings.sweep_interval_ms / 1000
        await asyncio.sleep(random.uniform(0, interval_seconds))  # noqa: S311 - spreads load, keeps no secret
        while True:
            try:
                await self.sweep()
                self.fault = None
                await asyncio.sleep(interval_seconds)
            except Exception as error:
                # Broad on purpose: the next sweep reads Redis again, and readiness reports this failure.
                self.fault = str(error) or type(error).__name__
                metrics.SWEEP_FAILURES.inc()
                log.warning("sweep.interrupted", extra={"reason": self.fault})
                await asyncio.sleep(self._settings.retry_seconds)

    async def sweep(self) -> int:
        """Expire the overdue orders of all shards; returns their number. Raises Retryable or Rejected after all shards were tried."""
        started = perf_counter()
        slot_groups = await asyncio.gather(*[self._sweep_slot_group(shards) for shards in self._expiry.slot_groups])
        for swept in slot_groups:
            if swept.fault is not None:
                raise swept.fault
        overdue = sum(swept.orders for swept in slot_groups)
        metrics.OVERDUE_ORDERS.set(overdue)
        metrics.SWEEP_SECONDS.observe(perf_counter() - started)
        return overdue

    async def _sweep_slot_group(self, shards: Sequence[int]) -> GroupSweep:
        swept = GroupSweep()
        async with self._slot_groups:
            try:
                overdue = await self._expiry.overdue(shards, self._settings.sweep_grace_ms)
            except Retryable as error:
                # On a cluster, the next slot group may belong to another master.
                self._set_fault(swept, error)
                return swept
            for start in range(0, len(overdue.shards), SHARDS_MAX):
                await self._sweep_shards(overdue.shards[start : start + SHARDS_MAX], overdue.latest_ms, swept)
        return swept

    async def _sweep_shards(self, shards: Sequence[int], latest_ms: int, swept: GroupSweep) -> None:
        # If a sweep always began at the front, a broken sale that fills a whole sweep would hide all orders behind it.
        offsets = {shard: self._unfinished.pop(shard, 0) for shard in shards}
        for _ in range(self._settings.sweep_pages_max):
            if not offsets:
                break
            offsets = await self._sweep_pages(offsets, latest_ms, swept)
        self._unfinished.update(offsets)

    async def _sweep_pages(self, offsets: Mapping[int, int], latest_ms: int, swept: GroupSweep) -> dict[int, int]:
        """Expire a page of each shard; returns the offsets of the shards that have another page."""
        started_ns = time.time_ns()
        pages: dict[int, Page] = {}
        for shard, page in (await self._expiry.pages(offsets, latest_ms, CHUNK)).items():
            if isinstance(page, Rejected | Retryable):
                self._set_fault(swept, page)
            else:
                pages[shard] = page
        # A sale belongs to one shard, so no sale is in two pages.
        orders = {sale_id: order_ids for page in pages.values() for sale_id, order_ids in page.items()}
        outcomes = await self._expiry.expire(orders, SOURCE)
        swept.orders += sum(map(len, orders.values()))
        for sale_id, outcome in outcomes.items():
            self._report(sale_id, len(orders[sale_id]), outcome, started_ns, swept)
        return next_offsets(offsets, pages, outcomes)

    def _report(self, sale_id: str, orders: int, outcome: Outcome, started_ns: int, swept: GroupSweep) -> None:
        self._spans.swept(sale_id, outcome.expired, started_ns)
        if isinstance(outcome.fault, Rejected):
            metrics.SWEEP_REFUSED.inc(orders)
            log.error("sweep.refused", extra={"sale_id": sale_id, "orders": orders, "reason": outcome.fault.reason})
        elif outcome.fault is not None:
            self._set_fault(swept, outcome.fault)

    def _set_fault(self, swept: GroupSweep, fault: Fault) -> None:
        # Readiness reports it at once: other slot groups may still take long.
        swept.fault, self.fault = fault, str(fault)


def next_offsets(offsets: Mapping[int, int], pages: Mapping[int, Page], outcomes: Mapping[str, Outcome]) -> dict[int, int]:
    """The offset of the next page of each shard that has one.

    The orders of a broken sale stay in the set of deadlines, so the next page starts behind them. Every other order of a page has left the
    set. A short page was the last one. If Redis is away there is no next page, and the next sweep tries again.
    """
    offsets_of_next: dict[int, int] = {}
    for shard, page in pages.items():
        faults = {sale_id: outcomes[sale_id].fault for sale_id in page}
        away = any(isinstance(fault, Retryable) for fault in faults.values())
        if sum(map(len, page.values())) == CHUNK and not away:
            offsets_of_next[shard] = offsets[shard] + sum(len(page[sale_id]) for sale_id, fault in faults.items() if fault is not None)
    return offsets_of_next
