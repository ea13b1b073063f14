"""What every sale shows, kept for a moment: pages of sales cost Redis the same whether one client asks or a thousand.

A sale is read when a page needs it and what is kept of it is too old, together with the others that are wanted then. So in the time a
document stays fresh each sale is read once at most, whatever pages are asked for; and never more than SALES_PER_SECOND.
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

CHUNK = 100
"""Sales read in one round trip: some milliseconds of the event loop."""
SALES_PER_SECOND = 2000
BURST_SECONDS = 0.5
"""How much of that may be read at once after a rest: a whole page."""
KEPT_MAX = 20_000
PAGE_SECONDS = 5.0
"""How long a page may wait for its sales."""
log = logging.getLogger(__name__)
Fields = Mapping[str, str]


class SaleSnapshot(NamedTuple):
    """What is kept of a sale."""

    read_at: float
    document: bytes
    """JSON; empty when the sale is gone, or cannot be read."""
    stock: tuple[int, int, int, int]
    """total, available, reserved, sold"""


class Catalogue:
    def __init__(
        self,
        names: Callable[[], Awaitable[Sequence[str]]],
        read: Callable[[Sequence[str]], Awaitable[Sequence[Fields]]],
        fresh_seconds: float,
    ) -> None:
        """`names` returns all sales in order, `read` the hash of each named sale, empty if it is gone. Both raise StoreUnavailable."""
        self._read_names = names
        self._read_sales = read
        self._fresh_seconds = fresh_seconds
        self._names: Sequence[str] = ()
        self._named_at = -inf
        self._naming = SingleFlight(self._name)
        self._shown: dict[str, SaleSnapshot] = {}
        """The one read longest ago stands first."""
        self._wanted: dict[str, None] = {}
        self._reading = SingleFlight(self._read)
        self._paid_until = -inf
        """Up to when what was read lasts at SALES_PER_SECOND."""

    async def page(self, after: str, limit: int) -> list[tuple[str, SaleSnapshot]]:
        """The first `limit` sales whose id sorts after `after`. Raises Problem and StoreUnavailable."""
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(PAGE_SECONDS):
                if self._named_at + self._fresh_seconds < now:
                    await self._naming.get()
                first = bisect_right(self._names, after)
                names = self._names[first : first + limit]
                await self._refresh(names, now)
        except TimeoutError:
            raise read_refused("Too many sales are being read") from None
        found = [(name, self._shown[name]) for name in names if name in self._shown]
        return [(name, shown) for name, shown in found if shown.document]

    async def _refresh(self, names: Sequence[str], now: float) -> None:
        oldest = now - self._fresh_seconds
        stale = [name for name in names if not self._is_since(name, oldest)]
        while stale:
            self._wanted.update(dict.fromkeys(stale))
            await self._reading.get()
            stale = [name for name in stale if not self._is_since(name, oldest)]

    def _is_since(self, name: str, moment: float) -> bool:
        shown = self._shown.get(name)
        return shown is not None and shown.read_at >= moment

    async def _name(self) -> None:
        named_at = asyncio.get_running_loop().time()
        self._names = await self._read_names()
        self._named_at = named_at
        for gone in self._shown.keys() - set(self._names):
            del self._shown[gone]

    async def _read(self) -> None:
        """Read the sales that have been wanted longest."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._paid_until - BURST_SECONDS - loop.time()))
        names = list(islice(self._wanted, CHUNK))
        read_at = loop.time()
        self._paid_until = max(self._paid_until, read_at) + len(names) / SALES_PER_SECOND
        try:
            hashes = await self._read_sales(names)
        finally:
            # Not before: whoever wants one of them meanwhile waits for this reading.
            for name in names:
                del self._wanted[name]
        for name, fields in zip(names, hashes, strict=True):
            self._shown[name] = _shown(name, fields, read_at, self._shown.pop(name, None))
        while len(self._shown) > KEPT_MAX:
            del self._shown[next(iter(self._shown))]


def _shown(name: str, fields: Fields, read_at: float, before: SaleSnapshot | None) -> SaleSnapshot:
    if not fields:
        return SaleSnapshot(read_at, b"", (0, 0, 0, 0))
    try:
        total, available, reserved, sold = (int(fields[state]) for state in ("total", "available", "reserved", "sold"))
        return SaleSnapshot(read_at, msgspec.json.encode(sale_documents.to_json(name, fields)), (total, available, reserved, sold))
    except (KeyError, ValueError) as error:
        # One sale whose data is broken must not hide the others. Orders for it are refused, and the audit names it.
        if before is None or before.document:
            log.error("sale.unreadable", extra={"sale": name, "reason": f"{type(error).__name__}: {error}"})
        return SaleSnapshot(read_at, b"", (0, 0, 0, 0))
