"""What all client connections share: bounds on the memory that clients can make a gateway use.

connection_limit bounds how many connections there are. Each may keep a few pipelined requests and one answer that it does not
read; this module bounds both over all connections.
"""

from collections.abc import Callable

PIPELINED_PER_CONNECTION_MAX = 128
"""Requests of one connection that wait behind the one being answered, a few KB each."""
PIPELINED_MAX = 8192
"""The same over all connections."""
STALLED_BYTES_MAX = 67_108_864
"""Bytes of unread answers in this process, over all connections. Past it, the connection that stalled first is ended."""
UNREAD_BYTES_MAX = 4096
"""Bytes of answers that may wait in this process for the kernel to accept them before a connection counts as stalled."""
UNSENT_BYTES_MAX = 16_384
"""Bytes of a connection's answers that the kernel keeps while its client's window is full (TCP_NOTSENT_LOWAT, tcp(7))."""


class ClientBuffers:
    """Counts over all connections of this process."""

    def __init__(self) -> None:
        self.pipelined = 0
        """Requests that wait in pipelines."""
        self._stalled: dict[object, tuple[int, Callable[[], None]]] = {}
        """For each stalled connection, its unread bytes and how to end it; the one that stalled first comes first."""
        self._stalled_bytes = 0

    def may_pipeline(self, waiting: int) -> bool:
        """Whether a connection with `waiting` pipelined requests may have another one."""
        return waiting < PIPELINED_PER_CONNECTION_MAX and self.pipelined < PIPELINED_MAX

    def stall(self, connection: object, unread_bytes: int, end: Callable[[], None]) -> None:
        """Note that `connection` does not read its answers. Past STALLED_BYTES_MAX, `end` of those that stalled first is called."""
        self._stalled[connection] = unread_bytes, end
        self._stalled_bytes += unread_bytes
        while self._stalled_bytes > STALLED_BYTES_MAX:
            longest_stalled = next(iter(self._stalled))
            _, end_longest_stalled = self._stalled[longest_stalled]
            self.unstall(longest_stalled)
            end_longest_stalled()

    def unstall(self, connection: object) -> None:
        unread_bytes, _ = self._stalled.pop(connection, (0, None))
        self._stalled_bytes -= unread_bytes
