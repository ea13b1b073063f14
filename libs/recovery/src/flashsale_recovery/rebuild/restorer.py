"""Calls lua/restore.lua, with several calls on their way at a time."""

import asyncio
from collections.abc import Container, Iterable, Mapping
from typing import Any

from flashsale_core.keys import restore_keys, shard_of
from flashsale_core.scripts import call, pack
from flashsale_recovery.rebuild.context import RebuildContext
from flashsale_recovery.rebuild.report import SaleReport

AT_ONCE = 4
Part = Mapping[str, Any]


class Restorer:
    """Raises RedisError, with `FENCED` when a fence is no longer the one that the rebuild began with."""

    def __init__(self, context: RebuildContext) -> None:
        self._context = context
        self._calls: set[asyncio.Task[None]] = set()

    async def now(self, sale_id: str, part: Part, report: SaleReport | None = None) -> None:
        """Make one call and wait for its answer."""
        keys, shard = restore_keys(sale_id, self._context.shard_count), shard_of(sale_id, self._context.shard_count)
        arguments = (sale_id, str(self._context.incarnations[shard]), pack(part), "", self._context.attempt)
        _, _, written, _ = await call(self._context.redis, self._context.scripts.restore, keys, *arguments)
        if report is not None:
            report.written += written

    async def soon(self, sale_id: str, part: Part, report: SaleReport) -> None:
        """Start one call, once fewer than AT_ONCE are on their way. Raises the error of an earlier call."""
        while len(self._calls) >= AT_ONCE:
            await self._reap(asyncio.FIRST_COMPLETED)
        self._calls.add(asyncio.create_task(self.now(sale_id, part, report)))

    async def finish(self) -> None:
        """Wait for all calls. Raises the first error."""
        while self._calls:
            await self._reap(asyncio.ALL_COMPLETED)

    async def cancel(self) -> None:
        """End the calls that are on their way. A call that has reached Redis is executed all the same."""
        for task in self._calls:
            task.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        self._calls.clear()

    async def _reap(self, when: str) -> None:
        done, self._calls = await asyncio.wait(self._calls, return_when=when)
        # All of them are looked at: several calls fail together, and asyncio logs an error that nobody has seen.
        for error in [task.exception() for task in done]:
            if error is not None:
                raise error


NO_STOCK = (
    *("total", "0", "available", "-1", "reserved", "0", "sold", "0"),
    *("owner", "admin", "generation", "0", "state", "open", "changed_ms", "0", "starts_ms", "0", "ends_ms", "0", "max_per_user", "0"),
    *("hold_seconds", "1", "rate_requests", "0", "rate_seconds", "1", "max_released", "20", "late_payment", "refund"),
)
"""The hash of a sale that nobody defined. Without an epoch it is no definition that another rebuild would take for one."""


async def close_sales(context: RebuildContext, sale_ids: Iterable[str], undefined: Container[str] = ()) -> None:
    """Keep these sales closed although their shard opens: every script finds their counters broken, and changes nothing.

    Of the `undefined` among them, Redis has no sale: nobody can define one under these names. What has its key and is no hash is deleted.
    """
    restorer = Restorer(context)
    for sale_id in sale_ids:
        of_none = {"drop": ["sale"], "sale": NO_STOCK} if sale_id in undefined else {}
        await restorer.now(sale_id, {**of_none, "close": True})
