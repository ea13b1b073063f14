"""What lost probes say about a wait queue. Pure.

One lost probe is no evidence while Redis or the link to the broker was away: its return could not be marked. So a queue that has returned
a probe is at fault only once two of its probes in a row are lost.
"""


class WaitVerdicts:
    def __init__(self) -> None:
        self._proven: set[int] = set()
        """Payment windows whose last probe returned, in seconds."""
        self._lost: set[int] = set()

    @property
    def lost(self) -> frozenset[int]:
        """Payment windows from whose wait queue nothing returns."""
        return frozenset(self._lost)

    def returned(self, window: int) -> None:
        self._proven.add(window)
        self._lost.discard(window)

    def missed(self, window: int) -> bool:
        """Note a probe that did not return in time; returns whether the queue is at fault."""
        if window in self._proven:
            self._proven.discard(window)
            return False
        self._lost.add(window)
        return True

    def is_certain(self, windows: int) -> bool:
        """Whether the last probe returned from each of this number of wait queues."""
        return len(self._proven) == windows
