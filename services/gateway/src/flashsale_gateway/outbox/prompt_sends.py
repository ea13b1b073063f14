"""When entries are sent whose confirm somebody waits for: at once, unless such a message is in flight.

A message costs gateway, broker and workers the same with one entry as with twenty. So while one is in flight, further entries are
collected, until it is done or a short pause is over: few requests wait for nothing, and many share their messages.
"""

import asyncio
from collections.abc import Callable, Iterable

PAUSE_SECONDS = 0.002


class PromptSends:
    def __init__(self, send: Callable[[str], Iterable["asyncio.Task[None]"]]) -> None:
        """`send` starts to publish what waits for a routing key; each of its tasks ends with a message's confirm or failure."""
        self._send = send
        self._routing_keys: set[str] = set()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def request(self, routing_key: str) -> None:
        """Send what waits for this key soon; never before this returns."""
        self._routing_keys.add(routing_key)
        if self._timer is None:
            pause_seconds = PAUSE_SECONDS if self._in_flight else 0
            self._timer = asyncio.get_running_loop().call_later(pause_seconds, self._send_all)

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
        if not self._in_flight and self._routing_keys:
            self._send_all()
