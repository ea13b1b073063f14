"""How often somebody may try to log in: failures are counted by name and in all, in a window that moves. Pure.

A lock that one could set for somebody else by failing on purpose ends by itself, and a success clears the name.
"""

from collections import OrderedDict, deque
from math import ceil

WINDOW_SECONDS = 300.0
FAILURES_MAX = 10
"""By one name."""
FAILURES_MAX_OF_ALL = 200
"""By all names: a guess with another name each time is a guess as well."""
NAMES_MAX = 1000


class Attempts:
    def __init__(self) -> None:
        self._by_name: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque(maxlen=FAILURES_MAX_OF_ALL)

    def wait_seconds(self, name: str, now: float) -> int:
        """0 if the name may be tried now; otherwise the seconds until then."""
        return max(_wait(self._by_name.get(name, deque()), FAILURES_MAX, now), _wait(self._all, FAILURES_MAX_OF_ALL, now))

    def failed(self, name: str, now: float) -> None:
        self._by_name.setdefault(name, deque(maxlen=FAILURES_MAX)).append(now)
        self._by_name.move_to_end(name)
        self._all.append(now)
        while len(self._by_name) > NAMES_MAX:
            self._by_name.popitem(last=False)

    def succeeded(self, name: str) -> None:
        self._by_name.pop(name, None)


def _wait(failures: deque[float], most: int, now: float) -> int:
    """Until the oldest of the last `most` failures leaves the window."""
    return max(0, ceil(failures[0] + WINDOW_SECONDS - now)) if len(failures) == most else 0
