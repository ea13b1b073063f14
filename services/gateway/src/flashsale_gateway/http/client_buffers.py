"""What all client connections share: bounds on what strangers make a gateway keep in memory.

Connections themselves are bounded in entrance.py. Each may keep a few pipelined requests and one answer that it does not read; here
is how much of this there may be over all connections.
"""

from collections.abc import Callable

from flashsale_gateway import metrics

PIPELINED_PER_CONNECTION_MAX = 128
"""Requests of one connection that wait behind the one being answered. They are a few KB each."""
PIPELINED_MAX = 8192
"""The same over all connections."""
STALLED_BYTES_MAX = 67_108_864
"""Bytes of unread answers in our memory, over all connections. Past it the connection that has kept its answers the longest is ended."""
UNREAD_BYTES_MAX = 4096
"""Bytes of answers that may wait in our memory for the kernel to take them, before a connection counts as stalled."""
UNSENT_BYTES_MAX = 16_384
"""Bytes of a connection's answers that the kernel keeps because its client's window is full (TCP_NOTSENT_LOWAT, tcp(7))."""


class ClientBuffers:
    """Counts over all connections of this process."""

    def __init__(self) -> None:
        self.pipelined = 0
        self._stalled: dict[object, tuple[int, Callable[[], None]]] = {}
        """The unread bytes of each stalled connection, and how to end it; the one that stalled first stands in front."""
        self._stalled_bytes = 0

    def has_room(self, pipelined_here: int) -> bool:
        """Whether a connection with so many pipelined requests may have another one."""
        return pipelined_here < PIPELINED_PER_CONNECTION_MAX and self.pipelined < PIPELINED_MAX

    def stall(self, connection: object, unread_bytes: int, end: Callable[[], None]) -> None:
        """`connection` does not read its answers. `end` is called if there are too many of them and it has stalled the longest."""
        self._stalled[connection] = unread_bytes, end
        self._stalled_bytes += unread_bytes
        while self._stalled_bytes > STALLED_BYTES_MAX:
            longest = next(iter(self._stalled))
            _, end_longest = self._stalled[longest]
            self.unstall(longest)
            end_longest()

    def unstall(self, connection: object) -> None:
        unread_bytes, _ = self._stalled.pop(connection, (0, None))
        self._stalled_bytes -= unread_bytes


def count_end(reason: str) -> None:
    """`reason` is one of a few words, a label of a metric."""
    metrics.CONNECTIONS_ENDED.labels(reason).inc()
