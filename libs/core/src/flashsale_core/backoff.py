"""How long to pause before the next try: the longer, the more often the tries before it failed in a row. Pure."""

from collections.abc import Sequence

RECONNECT_PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0)
RECONNECT_SOUND_SECONDS = 5.0
"""A session that connects and fails sooner is no better than none."""


class Backoff:
    def __init__(self, pauses_seconds: Sequence[float], sound_seconds: float) -> None:
        """`pauses_seconds` by failures in a row, the last for all further ones. A try that ran longer than `sound_seconds` ends the row."""
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
        """A try succeeded: the row of failures ends."""
        self._failures = 0


def reconnect_backoff() -> Backoff:
    """Between sessions with the broker."""
    return Backoff(RECONNECT_PAUSES_SECONDS, RECONNECT_SOUND_SECONDS)
