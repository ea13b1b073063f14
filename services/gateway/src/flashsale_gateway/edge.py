"""What all client connections share: bounds on what strangers make a gateway keep in memory.

Connections themselves are bounded in entrance.py. Each may keep a few pipelined requests and one answer that it does not read; here
is how many of these there may be over all connections.
"""

from collections.abc import Callable

from flashsale_gateway import metrics

PIPELINED_PER_CONNECTION_MAX = 128
"""Requests of one connection that wait behind the one being answered. They are a few KB each."""
PIPELINED_MAX = 8192
"""The same over all connections."""
STALLED_MAX = 256
"""Connections that keep unread answers in our memory. Another one ends the one that has kept its answers the longest."""
UNREAD_BYTES_MAX = 4096
"""Bytes of answers that may wait in our memory for the kernel to take them, before a connection counts as stalled."""
UNSENT_BYTES_MAX = 16_384
"""Bytes of a connection's answers that the kernel keeps because its client's window is full (TCP_NOTSENT_LOWAT, tcp(7))."""


class Edge:
    """Counts over all connections of this process."""

    def __init__(self) -> None:
        self.pipelined = 0
        self._stalled: dict[object, Callable[[], None]] = {}
        """How to end each stalled connection, the one that stalled first in front."""

    def has_room(self, pipelined_here: int) -> bool:
        """Whether a connection with so many pipelined requests may have another one."""
        return pipelined_here < PIPELINED_PER_CONNECTION_MAX and self.pipelined < PIPELINED_MAX

    def stall(self, connection: object, end: Callable[[], None]) -> None:
        """`connection` does not read its answers. `end` is called if others stall and it has stalled the longest."""
        self._stalled[connection] = end
        if len(self._stalled) > STALLED_MAX:
            self._stalled.pop(next(iter(self._stalled)))()

    def unstall(self, connection: object) -> None:
        self._stalled.pop(connection, None)


def count_end(reason: str) -> None:
    """`reason` is one of a few words, a label of a metric."""
    metrics.CONNECTIONS_ENDED.labels(reason).inc()
