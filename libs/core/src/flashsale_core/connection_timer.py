"""The timer of a client connection. It never ends a connection for a pause of its own process.

After a long turn of the event loop, or a pause of the process, timers fire before the sockets are read: a request that arrived in time is
still unread, and an answer that the client made room for is unsent. So a timer whose time is over gives the sockets one more turn.
"""

import asyncio
from collections.abc import Callable
from math import inf

LOOK_AGAIN_SECONDS = 0.05
"""Between the end of a connection's time and what the timer then does."""


class ConnectionTimer:
    """Set for each request without a call of the event loop: a timer that fires too early sets itself again."""

    __slots__ = ("_act", "_acts_at", "_fires_at", "_handle", "_looked_again", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
        """`act` is called once for each time that is set and neither set again nor unset before."""
        self._loop = loop
        self._act = act
        self._acts_at = inf
        self._fires_at = inf
        """When the event loop calls; inf without a handle."""
        self._handle: asyncio.TimerHandle | None = None
        self._looked_again = False
        """The time is over, and the sockets get one more turn."""

    def set(self, seconds: float) -> None:
        """Act in `seconds`, and not at the time set before."""
        self._acts_at = acts_at = self._loop.time() + seconds
        self._looked_again = False
        if acts_at < self._fires_at:
            self._fire_at(acts_at)

    def unset(self) -> None:
        self._acts_at = inf

    def end(self) -> None:
        """The connection is lost."""
        self._acts_at = self._fires_at = inf
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire_at(self, when: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._fires_at = when
        self._handle = self._loop.call_at(when, self._fire)

    def _fire(self) -> None:
        self._handle, self._fires_at = None, inf
        if self._acts_at == inf:
            return
        now = self._loop.time()
        if self._acts_at > now:
            self._fire_at(self._acts_at)
        elif not self._looked_again:
            self._looked_again = True
            self._fire_at(now + LOOK_AGAIN_SECONDS)
        else:
            self._acts_at = inf
            self._act()
