"""Event streams (WHATWG HTML, "Server-sent events"): each change of a sale is encoded once and written to all its streams.

A stream has one task, which only waits for its client to leave. Whoever publishes writes to all of them without waiting for a client: one
that does not read is dropped. Between BATCH_SIZE streams and the next ones other connections are served.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flashsale_core.timestamps import rfc3339_of_ms
from flashsale_storefront import metrics
from flashsale_storefront.live_sales import WatchedSale
from flashsale_storefront.problems import Problem

Send = Callable[[Any], Awaitable[None]]
Body = Callable[[WatchedSale], bytes]
BATCH_SIZE = 200
"""Streams written to in one turn of the event loop: some 3 ms."""


class Stream:
    __slots__ = ("_abort", "_send", "address", "sale")

    def __init__(self, sale: WatchedSale, address: str, send: Send, abort: Callable[[], None]) -> None:
        """`abort` ends the connection at once."""
        self.sale = sale
        self.address = address
        self._send = send
        self._abort = abort

    def write(self, event: bytes, *, is_last: bool = False) -> None:
        """Write without waiting. A send that would wait means that the client does not read, and the connection is ended."""
        sending: Any = self._send({"type": "http.response.body", "body": event, "more_body": not is_last})
        try:
            sending.send(None)
        except StopIteration:
            metrics.EVENTS.inc()
            return
        sending.close()
        metrics.STREAMS_ENDED.labels("slow").inc()
        self._abort()


class Streams:
    """All streams of this process; the audience of LiveSales."""

    def __init__(self, streams_max: int, per_address_max: int, keepalive_seconds: float) -> None:
        self._streams_max = streams_max
        self._per_address_max = per_address_max
        self._keepalive_seconds = keepalive_seconds
        self._streams: set[Stream] = set()
        self._addresses: Counter[str] = Counter()
        self._ended = False
        self.body: Body = lambda sale: b""
        metrics.STREAMS.set_function(lambda: len(self._streams))
        for reason in ("full", "address", "slow", "gone", "shutdown"):
            metrics.STREAMS_ENDED.labels(reason)

    @contextmanager
    def place(self, sale: WatchedSale, address: str, send: Send, abort: Callable[[], None]) -> Iterator[Stream]:
        """A stream that is open while the block lasts. Raises Problem if there is no place for it."""
        reason = self._refusal(address)
        if reason:
            metrics.STREAMS_ENDED.labels(reason).inc()
            raise Problem("too_many_streams")
        stream = Stream(sale, address, send, abort)
        self._streams.add(stream)
        self._addresses[address] += 1
        sale.streams.add(stream)
        try:
            yield stream
        finally:
            self._streams.discard(stream)
            sale.streams.discard(stream)
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]

    def publish(self, sale: WatchedSale) -> None:
        if sale.streams:
            # Those that the last event has not reached yet come first, at the end of the list. They get this one only.
            late = [stream for stream in sale.late if stream in sale.streams]
            sale.late = [*sale.streams.difference(late), *late]
            self._write_some(sale, sale.late, self.event(sale))

    def _write_some(self, sale: WatchedSale, late: list[Stream], event: bytes) -> None:
        if late is not sale.late or self._ended:
            # A newer event goes to these streams, or none any more.
            return
        for stream in late[-BATCH_SIZE:]:
            if stream in sale.streams:
                stream.write(event)
        del late[-BATCH_SIZE:]
        if late:
            asyncio.get_running_loop().call_soon(self._write_some, sale, late, event)

    def event(self, sale: WatchedSale) -> bytes:
        return b"data: %b\n\n" % self.body(sale)

    def end(self, sale: WatchedSale) -> None:
        """The sale is gone."""
        sale.late = []
        self._end(list(sale.streams), "gone")

    def end_all(self) -> None:
        """The process ends: pages open a stream elsewhere. No further stream is opened."""
        self._ended = True
        self._end(list(self._streams), "shutdown")

    async def keep_alive(self, now_ms: Callable[[], int]) -> None:
        """Tell every stream the time, for ever."""
        while True:
            await asyncio.sleep(self._keepalive_seconds)
            event = b'event: time\ndata: {"serverTime":"%b"}\n\n' % rfc3339_of_ms(now_ms()).encode()
            for number, stream in enumerate(list(self._streams), 1):
                if stream in self._streams and not self._ended:
                    stream.write(event)
                if number % BATCH_SIZE == 0:
                    await asyncio.sleep(0)

    def _end(self, streams: list[Stream], reason: str) -> None:
        for stream in streams:
            metrics.STREAMS_ENDED.labels(reason).inc()
            stream.write(b"", is_last=True)

    def _refusal(self, address: str) -> str:
        if self._ended:
            return "shutdown"
        if len(self._streams) >= self._streams_max:
            return "full"
        return "address" if self._addresses.get(address, 0) >= self._per_address_max else ""
