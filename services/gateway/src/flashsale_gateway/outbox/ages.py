"""The age of entries, even if Redis' clock is set forward or back. Pure: clocks are arguments."""

from dataclasses import dataclass

OWN_CLOCK_FACTOR = 3
"""By our own clock, an entry is claimed only after this many idle times: if Redis' clock is right, it was claimed long before."""


@dataclass(frozen=True, slots=True)
class Head:
    """The oldest entry of a stream."""

    entry_id: str
    written_ms: int
    """Redis' clock when the entry was written. For entries of an older release, the time in their id, which never goes back."""


class StreamAges:
    """Remembers how long a stream has had the same oldest entry: that is the entry's least age, whatever Redis' clock shows."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[str, float]] = {}

    def age_ms(self, stream: str, head: Head | None, now_ms: int, seconds: float) -> int:
        """`now_ms` is Redis' clock, `seconds` our own, which only goes forward. 0 for an empty stream."""
        if head is None:
            self._since.pop(stream, None)
            return 0
        entry_id, since = self._since.get(stream, ("", seconds))
        if entry_id != head.entry_id:
            since = seconds
        self._since[stream] = (head.entry_id, since)
        return max(now_ms - head.written_ms, int((seconds - since) * 1000), 0)


class ClaimPolicy:
    """Decides how long an entry that another gateway holds must be idle before it is claimed.

    Redis counts idle time from the delivery, by its clock. If that clock is set back, nobody could claim the entries of a dead gateway
    until it has caught up. So this remembers, by our own clock, since when the oldest of these entries has been the same.
    """

    def __init__(self, idle_ms: int) -> None:
        """Entries that are idle for `idle_ms` are to be claimed."""
        self._idle_ms = idle_ms
        self._ages = StreamAges()
        self._held_ms: dict[str, int] = {}

    def observe(self, stream: str, delivery: str | None, seconds: float) -> None:
        """`delivery` names the entry, its holder and its deliveries so far; None if nobody else holds one. `seconds` as in StreamAges."""
        head = None if delivery is None else Head(delivery, 0)
        self._held_ms[stream] = self._ages.age_ms(stream, head, 0, seconds)

    def claim_idle_ms(self, stream: str) -> int:
        """How long, by Redis' clock, an entry must be idle to be claimed; 0 if our own clock shows that it was held for much longer."""
        return 0 if self._held_ms.get(stream, 0) > OWN_CLOCK_FACTOR * self._idle_ms else self._idle_ms
