"""The sales that somebody watches, in memory. One task reads them all, once for each refresh, whatever the crowd.

A request for a sale that is not watched waits for the task to read it, together with the others requested by then.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import islice
from math import inf
from typing import Any, Protocol

from flashsale_core.errors import Retryable
from flashsale_storefront import metrics
from flashsale_storefront.documents import Content, State, body_at, describe, recovering
from flashsale_storefront.problems import Problem
from flashsale_storefront.source import CHUNK_SIZE, Reading

FIRST_READS_MAX = 500
"""Requests for sales that are not watched, and wait for a read."""
FIRST_READ_PAUSE_SECONDS = 0.05
"""Between reads of such sales: with CHUNK_SIZE, no crowd makes the storefront read more than 2,000 of them each second."""
UNKNOWN_MAX = 10_000
UNKNOWN_SECONDS = 2.0
"""How long an id that no sale has is answered from memory."""
log = logging.getLogger(__name__)


class WatchedSale:
    """A sale in memory, and the streams that its changes go to."""

    __slots__ = ("asked_at", "content", "late", "read_at", "sale_id", "streams", "wire", "wire_until")

    def __init__(self, sale_id: str) -> None:
        self.sale_id = sale_id
        self.read_at = self.asked_at = -inf
        self.streams: set[Any] = set()
        self.late: list[Any] = []
        """The streams that the last change has not been written to yet."""
        self.set(recovering(sale_id))

    def set(self, content: Content) -> None:
        self.content = content
        self.wire, self.wire_until = b"", -inf
        """The whole answer to a poll, and until when it may be sent again, in the loop's time."""


class Audience(Protocol):
    """Who is told of changes."""

    def publish(self, sale: WatchedSale) -> None: ...

    def end(self, sale: WatchedSale) -> None: ...


class LiveSales:
    def __init__(
        self,
        read: Callable[[Sequence[str]], Awaitable[Reading]],
        audience: Audience,
        *,
        refresh_seconds: float,
        stale_seconds: float,
        watch_seconds: float,
        sales_max: int,
    ) -> None:
        """`read` raises Retryable."""
        self._read = read
        self._audience = audience
        self._refresh_seconds = refresh_seconds
        self._stale_seconds = stale_seconds
        self._watch_seconds = watch_seconds
        self._sales_max = sales_max
        self._sales: dict[str, WatchedSale] = {}
        self._requested: dict[str, asyncio.Future[None]] = {}
        self._unknown: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._clock_ms = 0.0
        """Redis' clock at the loop's zero."""
        self._read_at = -inf
        self.fault: str | None = "Redis has not been read yet"
        metrics.SALES.set_function(lambda: len(self._sales))
        metrics.READ_AGE_SECONDS.set_function(lambda: min(self._loop.time() - self._read_at, 1e6))

    def find(self, sale_id: str) -> WatchedSale | None:
        """The sale if it is watched."""
        sale = self._sales.get(sale_id)
        if sale is not None:
            sale.asked_at = self._loop.time()
        return sale

    async def get(self, sale_id: str) -> WatchedSale:
        """Raises Problem: there is no such sale, it cannot be read now, or too many are watched."""
        if (sale := self.find(sale_id)) is not None:
            return sale
        if self._unknown.get(sale_id, -inf) > self._loop.time():
            raise Problem("unknown_sale")
        waiting = self._requested.get(sale_id)
        if waiting is None:
            if len(self._requested) >= FIRST_READS_MAX:
                raise Problem("overloaded", "Too many sales are being read")
            waiting = self._requested[sale_id] = self._loop.create_future()
            self._wake.set()
        # Shielded, because others may wait for the same read.
        await asyncio.shield(waiting)
        if (sale := self.find(sale_id)) is None:
            raise Problem("unknown_sale")
        return sale

    def body(self, sale: WatchedSale) -> bytes:
        """The live document now."""
        return body_at(sale.content, self.now_ms())

    def time(self) -> float:
        """The loop's time in seconds."""
        return self._loop.time()

    def now_ms(self) -> int:
        """Redis' clock, by which holds end."""
        return int(self._clock_ms + self._loop.time() * 1000)

    def is_known(self, sale: WatchedSale) -> bool:
        """False: what is for sale is not known, and must not be guessed."""
        return sale.content.state != State.RECOVERING and self._loop.time() - sale.read_at <= self._stale_seconds

    async def run(self) -> None:
        """Read for ever."""
        refresh_at = -inf
        try:
            while True:
                await self._pause(refresh_at)
                requested = list(islice(self._requested, CHUNK_SIZE))
                if is_refresh := self._loop.time() >= refresh_at:
                    refresh_at = self._loop.time() + self._refresh_seconds
                    self._drop_unwatched()
                await self._update(list(dict.fromkeys([*self._sales, *requested] if is_refresh else requested)), requested)
        finally:
            self._answer(list(self._requested), Problem("recovering"))

    async def _pause(self, refresh_at: float) -> None:
        await asyncio.sleep(min(FIRST_READ_PAUSE_SECONDS, self._refresh_seconds))
        self._wake.clear()
        if not self._requested:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(max(refresh_at, self._loop.time())):
                    await self._wake.wait()

    async def _update(self, sale_ids: Sequence[str], requested: Sequence[str]) -> None:
        try:
            with metrics.READ_SECONDS.time():
                reading = await self._read(sale_ids)
        except Retryable as error:
            self._note(str(error))
            self._mark_stale()
            self._answer(requested, Problem("recovering"))
            return
        self._note(None)
        self._read_at, self._clock_ms = reading.at, reading.now_ms - reading.at * 1000
        for sale_id in sale_ids:
            self._apply(sale_id, reading)

    def _apply(self, sale_id: str, reading: Reading) -> None:
        fields = reading.fields[sale_id]
        sale = self._sales.get(sale_id)
        if fields is not None and not fields:
            self._forget(sale_id)
            self._answer([sale_id])
            return
        if sale is None and (fields is None or not self._make_room()):
            # Nobody knows whether a sale that cannot be read exists.
            self._answer([sale_id], Problem("recovering" if fields is None else "overloaded"))
            return
        if sale is None:
            sale = self._sales[sale_id] = WatchedSale(sale_id)
            sale.asked_at = self._loop.time()
        sale.read_at = reading.at
        self._show(sale, _content(sale, fields, reading.now_ms))
        self._answer([sale_id])

    def _show(self, sale: WatchedSale, content: Content) -> None:
        if content.head != sale.content.head:
            sale.set(content)
            self._audience.publish(sale)

    def _mark_stale(self) -> None:
        oldest = self._loop.time() - self._stale_seconds
        for sale in self._sales.values():
            if sale.read_at < oldest:
                self._show(sale, recovering(sale.sale_id))

    def _forget(self, sale_id: str) -> None:
        self._unknown.pop(sale_id, None)
        self._unknown[sale_id] = self._loop.time() + UNKNOWN_SECONDS
        if len(self._unknown) > UNKNOWN_MAX:
            del self._unknown[next(iter(self._unknown))]
        if (sale := self._sales.pop(sale_id, None)) is not None:
            self._audience.end(sale)

    def _drop_unwatched(self) -> None:
        oldest = self._loop.time() - self._watch_seconds
        for sale in [sale for sale in self._sales.values() if not sale.streams and sale.asked_at < oldest]:
            del self._sales[sale.sale_id]

    def _make_room(self) -> bool:
        """Give up the sale that nobody has asked for the longest, unless it has streams."""
        if len(self._sales) >= self._sales_max:
            idle = min((sale for sale in self._sales.values() if not sale.streams), key=lambda sale: sale.asked_at, default=None)
            if idle is None:
                return False
            del self._sales[idle.sale_id]
        return True

    def _answer(self, sale_ids: Sequence[str], problem: Problem | None = None) -> None:
        for sale_id in sale_ids:
            waiting = self._requested.pop(sale_id, None)
            if waiting is None or waiting.done():
                continue
            if problem is None:
                waiting.set_result(None)
            else:
                waiting.set_exception(problem)
                waiting.exception()  # if the client has left, nobody reads it

    def _note(self, fault: str | None) -> None:
        """A fault is logged when it changes."""
        if fault != self.fault:
            level, event = (logging.WARNING, "redis.unreadable") if fault else (logging.INFO, "redis.readable")
            log.log(level, event, extra={"reason": fault})
        self.fault = fault


def _content(sale: WatchedSale, fields: Any, now_ms: int) -> Content:
    if fields is None:
        return recovering(sale.sale_id)
    try:
        return describe(sale.sale_id, fields, now_ms)
    except (KeyError, ValueError) as error:
        if sale.content.state != State.RECOVERING:
            log.error("sale.unreadable", extra={"sale": sale.sale_id, "reason": f"{type(error).__name__}: {error}"})
        return recovering(sale.sale_id)
