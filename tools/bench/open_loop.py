"""Open-loop load: orders arrive at a constant rate, whether or not the last one was answered.

A closed loop such as wrk's sends less while the server is slow, and so misses its worst moments ("coordinated omission", Gil Tene).
Here, an order's time counts from the moment when it was due to be sent.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit
from uuid import uuid4

from rich.console import Console
from rich.text import Text

from flashsale_cli.console import number
from tools.bench.measurements import Measurement, Section
from tools.bench.testbed import Testbed

CONNECTIONS = 256
TICK_SECONDS = 0.001
PATIENCE_SECONDS = 10.0
SHARES = (0.25, 0.5, 0.75)
SECONDS = 10


@dataclass(slots=True)
class OpenLoopResult:
    sent: int
    seconds: list[float] = field(default_factory=list)
    """Response times of accepted orders."""
    refused: int = 0

    @property
    def accepted(self) -> int:
        return len(self.seconds)

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else 0.0


async def measure(testbed: Testbed, capacity_per_second: float, screen: Console, shares: Sequence[float] = SHARES) -> Section:
    """Response times at constant rates, each a share of the rate that the closed loop has reached."""
    sale_id = await testbed.new_sale("bench-open")
    measurements, problems = [], []
    for share in shares:
        rate = int(capacity_per_second * share) // 100 * 100
        result = await send_orders(testbed.url, sale_id, rate, SECONDS)
        p50, p99, p999 = (result.percentile_ms(at) for at in (0.5, 0.99, 0.999))
        details = f"p50 {p50:.1f} ms, p99.9 {p999:.1f} ms, largest {result.percentile_ms(1.0):.1f} ms"
        screen.print(Text(f"open loop, {number(rate)}/s: p99 {p99:.1f} ms, {details}", "dim"))
        name = f"response time at a constant {number(rate)} orders/s ({share:.0%} of the maximum), p99"
        extra = {"per_second": rate, "p50": p50, "p99": p99, "p99.9": p999}
        measurements.append(Measurement(name, p99, "ms", None, details, extra))
        if result.refused or result.accepted < result.sent:
            problems.append(f"{number(rate)}/s: {result.sent} orders sent, {result.accepted} accepted, {result.refused} refused")
    return Section("Open loop: orders arrive at a constant rate", measurements, problems, [sale_id])


async def send_orders(url: str, product_id: str, per_second: int, seconds: int) -> OpenLoopResult:
    """Send orders of different buyers at a constant rate over CONNECTIONS connections. Waiting for a free connection counts."""
    loop, parts, prefix = asyncio.get_running_loop(), urlsplit(url), uuid4().hex[:12]
    result = OpenLoopResult(per_second * seconds)
    pool = _Pool(result)
    await pool.connect(parts.hostname or "", parts.port or 80)
    started = loop.time()
    for index in range(result.sent):
        due = started + index / per_second
        if (left := due - loop.time()) > 0:
            await asyncio.sleep(max(left, TICK_SECONDS))
        pool.send(_order(product_id, f"{prefix}-{index:08d}"), due)
        if index % 64 == 0:
            await asyncio.sleep(0)
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await pool.all_answered.wait()
    pool.close()
    return result


class _Pool:
    """Connections, and the orders that wait for a free one."""

    def __init__(self, result: OpenLoopResult) -> None:
        self._result = result
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[bytes, float]] = deque()
        # First in, first out: the server closes a connection that is idle for long.
        self._free: deque[_Connection] = deque()
        self.all_answered = asyncio.Event()

    async def connect(self, host: str, port: int) -> None:
        for _ in range(CONNECTIONS):
            _, connection = await self._loop.create_connection(lambda: _Connection(self), host, port)
            self._free.append(connection)

    def send(self, order: bytes, due: float) -> None:
        if self._free:
            self._free.popleft().send(order, due)
        else:
            self._waiting.append((order, due))

    def on_answer(self, connection: "_Connection", accepted: bool, due: float) -> None:
        if accepted:
            self._result.seconds.append(self._loop.time() - due)
        else:
            self._result.refused += 1
        if self._waiting:
            connection.send(*self._waiting.popleft())
        else:
            self._free.append(connection)
        if self._result.accepted + self._result.refused == self._result.sent:
            self.all_answered.set()

    def close(self) -> None:
        for connection in self._free:
            connection.close()


class _Connection(asyncio.Protocol):
    """Sends one order at a time. The gateway's answer has a Content-Length and is small."""

    def __init__(self, pool: _Pool) -> None:
        self._pool = pool
        self._due = 0.0
        self._answer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, order: bytes, due: float) -> None:
        self._due, self._answer = due, b""
        self._transport.write(order)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if end and len(body) >= _content_length(head):
            self._pool.on_answer(self, head.startswith(b"HTTP/1.1 200"), self._due)

    def close(self) -> None:
        self._transport.close()


def _order(product_id: str, name: str) -> bytes:
    body = f'{{"userId":"{name}","productId":"{product_id}","quantity":1,"requestId":"{name}"}}'
    return f"POST /order HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def _content_length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0])
