"""Repeats a request, as a patient client does, until its answer is final or the crowd's patience has ended."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import Random

from flashsale_chaos.history import REPEATED, Call, History

PAUSE_SECONDS = (0.05, 0.3)
"""Between the first two attempts; the least and the most."""
PAUSE_SECONDS_MAX = 1.2
"""The most doubles with each attempt, up to this: a crowd that goes on as fast takes the processors from the recovery it waits for."""


def is_final(call: Call) -> bool:
    return call.status not in REPEATED


class Patience:
    def __init__(self, history: History, rng: Random) -> None:
        self._history, self._rng = history, rng
        self._ends_at: float | None = None
        self.pausing = asyncio.Event()
        """Set while the crowd begins nothing new."""

    def end_in(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds
        self.pausing.set()

    def renew(self) -> None:
        self._ends_at = None
        self.pausing.clear()

    async def until_final(self, send: Callable[[], Awaitable[Call]]) -> Call | None:
        """The final answer; None after patience has ended, with the last answer in `gave_up` of the history."""
        least, most = PAUSE_SECONDS
        while True:
            call = await send()
            if is_final(call):
                return call
            if self._ends_at is not None and time.monotonic() > self._ends_at:
                self._history.gave_up.append(call)
                return None
            await asyncio.sleep(self._rng.uniform(least, most))
            most = min(2 * most, PAUSE_SECONDS_MAX)

    async def sleep(self, seconds: float) -> None:
        """Sleep; the pause of the crowd ends the sleep."""
        try:
            await asyncio.wait_for(self.pausing.wait(), seconds)
        except TimeoutError:
            return
