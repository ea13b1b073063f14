"""When entries are sent whose confirm somebody waits for: as soon as no further entry is to be expected for their message.

A message costs gateway, broker and workers the same with one entry as with twenty. So entries are collected while a script call is running,
because its entry can share the message, and while a message is in flight. A pause bounds that: a request that is alone waits for nothing,
and a crowd shares its messages.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

PAUSE_SECONDS = 0.005
"""The most that an entry waits for others. The target for `confirmed` sales allows a response 5 ms more than in `fsync` sales."""


class PromptSends:
    def __init__(self, send: Callable[[str], Iterable["asyncio.Task[None]"]]) -> None:
        """`send` starts to publish what waits for a routing key; each of its tasks ends with a message's confirm or failure."""
        self._send = send
        self._routing_keys: set[str] = set()
        self._calls = 0
        self._in_flight: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def calling(self) -> Iterator[None]:
        """The block is a script call that may end with a `request`."""
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            self._send_soon()

    def request(self, routing_key: str) -> None:
        """Send what waits for this key soon; never before this returns."""
        self._routing_keys.add(routing_key)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._send_all)
        self._send_soon()

    def _send_soon(self) -> None:
        if self._routing_keys and not self._calls:
            # Not at once: a lane whose call has ended begins the next one before the loop's next turn.
            asyncio.get_running_loop().call_soon(self._send_unless_busy)

    def _send_unless_busy(self) -> None:
        if self._routing_keys and not self._calls and not self._in_flight:
            self._send_all()

    def _send_all(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        routing_keys, self._routing_keys = self._routing_keys, set()
        for routing_key in routing_keys:
            for task in self._send(routing_key):
                self._in_flight.add(task)
                task.add_done_callback(self._finished)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._in_flight.discard(task)
        self._send_unless_busy()
