"""How fast the demo goes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    opens_after_seconds: float = 0.0
    """The countdown of the sale: time to open its page."""
    arrival_seconds: float = 0.0
    """The first wave grows over this time; 0 sends it as fast as possible."""


FAST = Pace()
WATCHED = Pace(opens_after_seconds=20.0, arrival_seconds=60.0)
WINDOW_SECONDS, WATCHED_WINDOW_SECONDS = 5, 60
"""The payment window: long enough for a person to pay, if a person watches."""
