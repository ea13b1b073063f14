"""How long to pause before the next try: longer after each failure in a row. Pure."""

from collections.abc import Sequence

RECONNECT_PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0)
RECONNECT_SOUND_SECONDS = 5.0
"""A session that fails sooner than this counts as another failure in a row."""


class Backoff:
    def __init__(self, pauses_seconds: Sequence[float], sound_seconds: float) -> None:
        """`pauses_seconds` has the pause after the first failure in a row, the second and so on; the last pause is repeated.

        A failure after more than `sound_seconds` is the first of a new row.
        """
        self._pauses_seconds = pauses_seconds
        self._sound_seconds = sound_seconds
        self._failures = 0

    def pause_seconds(self, ran_seconds: float) -> float:
        """Count a failure of a try that ran for `ran_seconds`; returns the pause that follows it."""
        if ran_seconds > self._sound_seconds:
            self._failures = 0
        pause_seconds = self._pauses_seconds[min(self._failures, len(self._pauses_seconds) - 1)]
        self._failures += 1
        return pause_seconds

    def reset(self) -> None:
        """A try succeeded: the next failure is the first of a new row."""
        self._failures = 0


def reconnect_backoff() -> Backoff:
    """The pauses between sessions with the broker."""
    return Backoff(RECONNECT_PAUSES_SECONDS, RECONNECT_SOUND_SECONDS)
