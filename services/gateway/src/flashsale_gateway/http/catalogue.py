"""Snapshots of all sales, kept for a moment: a page of sales costs Redis the same whether one client asks or a thousand.

A sale is read when a page needs it and its snapshot is too old, together with the others requested by then. While a snapshot is
fresh its sale is not read again, whatever pages are requested, and no more than SALES_PER_SECOND are ever read.
"""

import asyncio
import logging
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from math import inf
from typing import NamedTuple

import msgspec

from flashsale_gateway.http import sale_documents
from flashsale_gateway.http.read_limits import read_refused
from flashsale_gateway.single_flight import SingleFlight

CHUNK_SIZE = 100
"""Sales read in one round trip, which takes some milliseconds of the event loop."""
SALES_PER_SECOND = 2000
BURST_SECONDS = 0.5
"""How many seconds' worth of sales may be read at once after a rest: one whole page."""
SNAPSHOTS_MAX = 20_000
PAGE_SECONDS = 5.0
"""How long a page may wait for its sales."""
STATES = ("total", "available", "reserved", "sold")
log = logging.getLogger(__name__)
Fields = Mapping[str, str]


class SaleSnapshot(NamedTuple):
    read_at: float
    """On the event loop's clock."""
    document: bytes
    """JSON; empty when the sale is gone or cannot be read."""
    stock: tuple[int, ...]
    """Units by state, in the order of STATES."""


class Catalogue:
    def __init__(
        self,
        list_ids: Callable[[], Awaitable[Sequence[str]]],
        read: Callable[[Sequence[str]], Awaitable[Sequence[Fields]]],
        fresh_seconds: float,
    ) -> None:
        """`list_ids` returns the ids of all sales in order, `read` the hash of each of these sales, empty if it is gone.

        Both raise StoreUnavailable.
        """
        self._list_ids = list_ids
        self._read_sales = read
        self._fresh_seconds = fresh_seconds
        self._ids: Sequence[str] = ()
        self._listed_at = -inf
        self._listing = SingleFlight(self._list)
        self._snapshots: dict[str, SaleSnapshot] = {}
        """The one read longest ago comes first."""
        self._requested: dict[str, None] = {}
        """Sales to be read, in the order they were requested."""
        self._reading = SingleFlight(self._read)
        self._budget_spent_until = -inf
        """When the reads so far are paid for, at SALES_PER_SECOND; the next read waits until BURST_SECONDS before that."""

    async def page(self, after: str, limit: int) -> list[tuple[str, SaleSnapshot]]:
        """The first `limit` sales whose id sorts after `after`; fewer only at the end. Raises Problem and StoreUnavailable.

        A sale that is gone or cannot be read makes no page short: a reader would take that for the end, and miss all sales behind it.
        """
        now = asyncio.get_running_loop().time()
        shown: list[tuple[str, SaleSnapshot]] = []
        try:
            async with asyncio.timeout(PAGE_SECONDS):
                if self._listed_at + self._fresh_seconds < now:
                    await self._listing.get()
                all_ids, first = self._ids, bisect_right(self._ids, after)
                while first < len(all_ids) and len(shown) < limit:
                    ids = all_ids[first : first + limit - len(shown)]
                    first += len(ids)
                    await self._refresh(ids, now)
                    snapshots = [(sale_id, self._snapshots[sale_id]) for sale_id in ids if sale_id in self._snapshots]
                    shown += [(sale_id, snapshot) for sale_id, snapshot in snapshots if snapshot.document]
        except TimeoutError:
            raise read_refused("Too many sales are being read") from None
        return shown

    async def _refresh(self, ids: Sequence[str], now: float) -> None:
        oldest = now - self._fresh_seconds
        stale = [sale_id for sale_id in ids if not self._was_read_since(oldest, sale_id)]
        while stale:
            self._requested.update(dict.fromkeys(stale))
            await self._reading.get()
            stale = [sale_id for sale_id in stale if not self._was_read_since(oldest, sale_id)]

    def _was_read_since(self, moment: float, sale_id: str) -> bool:
        snapshot = self._snapshots.get(sale_id)
        return snapshot is not None and snapshot.read_at >= moment

    async def _list(self) -> None:
        listed_at = asyncio.get_running_loop().time()
        self._ids = await self._list_ids()
        self._listed_at = listed_at
        for gone in self._snapshots.keys() - set(self._ids):
            del self._snapshots[gone]

    async def _read(self) -> None:
        """Read the sales that were requested first."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._budget_spent_until - BURST_SECONDS - loop.time()))
        ids = list(islice(self._requested, CHUNK_SIZE))
        read_at = loop.time()
        self._budget_spent_until = max(self._budget_spent_until, read_at) + len(ids) / SALES_PER_SECOND
        try:
            hashes = await self._read_sales(ids)
        finally:
            # Only now: until then another request for one of them must wait for this read.
            for sale_id in ids:
                del self._requested[sale_id]
        for sale_id, fields in zip(ids, hashes, strict=True):
            self._snapshots[sale_id] = _snapshot(sale_id, fields, read_at, self._snapshots.pop(sale_id, None))
        while len(self._snapshots) > SNAPSHOTS_MAX:
            del self._snapshots[next(iter(self._snapshots))]


def _snapshot(sale_id: str, fields: Fields, read_at: float, previous: SaleSnapshot | None) -> SaleSnapshot:
    empty = SaleSnapshot(read_at, b"", (0, 0, 0, 0))
    if not fields:
        return empty
    try:
        stock = tuple(int(fields[state]) for state in STATES)
        return SaleSnapshot(read_at, msgspec.json.encode(sale_documents.to_json(sale_id, fields)), stock)
    except (KeyError, ValueError) as error:
        # A sale whose data is broken must not hide the others. Orders for it are refused, and the audit names it.
        if previous is None or previous.document:
            log.error("sale.unreadable", extra={"sale": sale_id, "reason": f"{type(error).__name__}: {error}"})
        return empty
