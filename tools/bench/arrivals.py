"""Open-loop load: orders arrive at a constant rate, whether or not the last was answered.

A closed loop, as wrk's, asks less when the server is slow and so does not see its worst moments ("coordinated omission", Gil Tene).
Here the time of each order counts from when it was due to be sent.
"""

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit
from uuid import uuid4

CONNECTIONS = 256
TICK_SECONDS = 0.001
PATIENCE_SECONDS = 10.0


@dataclass(slots=True)
class Arrivals:
    asked: int
    seconds: list[float] = field(default_factory=list)
    refused: int = 0

    @property
    def answered(self) -> int:
        """Orders that were accepted."""
        return len(self.seconds)

    def percentile(self, share: float) -> float:
        """In ms."""
        found = sorted(self.seconds)
        return found[min(len(found) - 1, int(len(found) * share))] * 1000 if found else 0.0


class _Connection(asyncio.Protocol):
    """One order at a time; an answer of the gateway to an order comes whole and small."""

    def __init__(self, lane: "_Lanes") -> None:
        self._lane = lane
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
        if end and len(body) >= _length(head):
            self._lane.answered(self, head.startswith(b"HTTP/1.1 200"), self._due)

    def close(self) -> None:
        self._transport.close()


class _Lanes:
    def __init__(self, result: Arrivals) -> None:
        self._result = result
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[bytes, float]] = deque()
        # In turn: the server closes a connection that rests for long.
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

    def answered(self, connection: _Connection, accepted: bool, due: float) -> None:
        if accepted:
            self._result.seconds.append(self._loop.time() - due)
        else:
            self._result.refused += 1
        if self._waiting:
            connection.send(*self._waiting.popleft())
        else:
            self._free.append(connection)
        if self._result.answered + self._result.refused == self._result.asked:
            self.all_answered.set()

    def close(self) -> None:
        for connection in self._free:
            connection.close()


async def arrive(url: str, product_id: str, per_second: int, seconds: int) -> Arrivals:
    """Orders of different buyers at a constant rate over CONNECTIONS connections; an order that finds none free waits, and that counts."""
    loop, parts, prefix = asyncio.get_running_loop(), urlsplit(url), uuid4().hex[:12]
    result = Arrivals(per_second * seconds)
    lanes = _Lanes(result)
    await lanes.connect(parts.hostname or "", parts.port or 80)
    started = loop.time()
    for number in range(result.asked):
        due = started + number / per_second
        if (left := due - loop.time()) > 0:
            await asyncio.sleep(max(left, TICK_SECONDS))
        lanes.send(_order(product_id, f"{prefix}-{number:08d}"), due)
        if number % 64 == 0:
            await asyncio.sleep(0)
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await lanes.all_answered.wait()
    lanes.close()
    return result


def _order(product_id: str, name: str) -> bytes:
    body = f'{{"userId":"{name}","productId":"{product_id}","quantity":1,"requestId":"{name}"}}'
    return f"POST /order HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def _length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0])
