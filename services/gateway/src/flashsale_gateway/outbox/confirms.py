"""Who waits for the broker's confirm of an entry of the direct outbox.

A wait ends with the confirm, whichever try to publish gets it, or after a time limit, or when the gateway ends. An entry that another
gateway publishes has no wait here: whoever repeats the request gets an entry of its own.

The limit counts from the start of the script call, and a confirm that is seen later does not count. A recovery covers what a gateway
published before it had been silent for 5 s; a gateway that was paused for longer must not vouch for an entry of the time before.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from flashsale_core.records import Entry

Name = tuple[str, str]
"""Stream and id of an entry."""


@dataclass(frozen=True, slots=True)
class _Wait:
    future: asyncio.Future[bool]
    timer: asyncio.TimerHandle
    until: float
    """By the clock of Confirms."""


class Confirms:
    def __init__(self, timeout_seconds: float, clock: Callable[[], float] = monotonic) -> None:
        """`clock` must not be the event loop's, which stands still during a turn."""
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._waits: dict[Name, _Wait] = {}

    def wait_for(self, entry: Entry, since: float) -> asyncio.Future[bool]:
        """True once the entry is confirmed; False when that takes longer than the limit, counted from `since`, a time of `clock`."""
        loop, name, until = asyncio.get_running_loop(), _name(entry), since + self._timeout_seconds
        # An entry of a history that was lost: Redis gave its id again. Whoever waits for it must not wait for ever.
        self._end(name, False)
        timer = loop.call_later(max(0.0, until - self._clock()), self._end, name, False)
        wait = self._waits[name] = _Wait(loop.create_future(), timer, until)
        return wait.future

    def confirm(self, entries: Sequence[Entry]) -> None:
        if self._waits:
            for entry in entries:
                self._end(_name(entry), True)

    def give_up(self) -> None:
        """End all waits: the entries are left to other gateways."""
        for name in list(self._waits):
            self._end(name, False)

    def _end(self, name: Name, confirmed: bool) -> None:
        if wait := self._waits.pop(name, None):
            wait.timer.cancel()
            if not wait.future.done():
                wait.future.set_result(confirmed and self._clock() <= wait.until)


def _name(entry: Entry) -> Name:
    return entry.stream, entry.entry_id
