"""Histories of sales, kept for a moment: reading one may cost a tenth of a second, and every viewer of a sale asks for it."""

import asyncio
import time
from collections import OrderedDict
from typing import NamedTuple

from flashsale_console.history import SAMPLE_MAX, History, Row, history
from flashsale_console.ledger import Ledger

SALES_MAX = 256
FRESH_SECONDS = 2.0
COST_FACTOR = 20
"""A history is kept for at least this many times as long as it took to read, so that plots use at most a twentieth of a connection."""


class _Kept(NamedTuple):
    history: History
    until: float


class Histories:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._kept: OrderedDict[tuple[str, int], _Kept] = OrderedDict()
        self._reading = asyncio.Lock()
        self._tasks: set[asyncio.Task[History]] = set()

    async def within(self, wait_seconds: float, sale_id: str, epoch: int) -> History | None:
        """The history, or None if it takes longer; it is then read all the same, for the next one who asks. Raises as `get` does."""
        reading = asyncio.create_task(self.get(sale_id, epoch))
        self._tasks.add(reading)
        reading.add_done_callback(self._forget)
        await asyncio.wait({reading}, timeout=wait_seconds)
        return reading.result() if reading.done() else None

    async def get(self, sale_id: str, epoch: int) -> History:
        """Raises Retryable while the ledger does not answer."""
        key = (sale_id, epoch)
        async with self._reading:
            kept = self._kept.get(key)
            if kept is None or kept.until < time.monotonic():
                kept = self._kept[key] = await self._read(sale_id, epoch)
                self._kept.move_to_end(key)
                while len(self._kept) > SALES_MAX:
                    self._kept.popitem(last=False)
            return kept.history

    def _forget(self, reading: "asyncio.Task[History]") -> None:
        self._tasks.discard(reading)
        if not reading.cancelled():
            # Whoever waited has left; the next one who asks gets the error.
            reading.exception()

    async def _read(self, sale_id: str, epoch: int) -> _Kept:
        began = time.monotonic()
        rows = [Row(**row) for row in await self._ledger.rows("history", sale_id, epoch, SAMPLE_MAX)]
        orders = sum(row.orders for row in rows if row.state == "reserved")
        if orders >= SAMPLE_MAX:
            (counted,) = await self._ledger.rows("count_orders", sale_id, epoch)
            orders = counted["count"]
        now = time.monotonic()
        return _Kept(history(rows, orders, int(time.time())), now + max(FRESH_SECONDS, COST_FACTOR * (now - began)))
