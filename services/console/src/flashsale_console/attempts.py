"""How often somebody may try to log in: failures are counted by name, in a window that moves. Pure.

A lock that one could set for somebody else by failing on purpose ends by itself, and a success clears the name. Failures are not
counted in all, and not by address, which behind an Ingress is the Ingress': a stranger's guesses would lock out everybody.
"""

from collections import OrderedDict, deque
from math import ceil

WINDOW_SECONDS = 300.0
FAILURES_MAX = 10
"""By one name."""
NAMES_MAX = 10_000
"""More than fail within a window, since one thread checks passwords: nobody clears a name with failures of other names."""


class Attempts:
    def __init__(self) -> None:
        self._by_name: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_seconds(self, name: str, now: float) -> int:
        """0 if the name may be tried now; otherwise the seconds until then."""
        failures = self._by_name.get(name, deque())
        # Until the oldest of the last FAILURES_MAX failures leaves the window.
        return max(0, ceil(failures[0] + WINDOW_SECONDS - now)) if len(failures) == FAILURES_MAX else 0

    def failed(self, name: str, now: float) -> None:
        self._by_name.setdefault(name, deque(maxlen=FAILURES_MAX)).append(now)
        self._by_name.move_to_end(name)
        while len(self._by_name) > NAMES_MAX:
            self._by_name.popitem(last=False)

    def succeeded(self, name: str) -> None:
        self._by_name.pop(name, None)
