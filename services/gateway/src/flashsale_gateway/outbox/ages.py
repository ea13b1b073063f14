"""How old what waits in an outbox is, although Redis' clock may be set forward and back. Pure."""

from dataclasses import dataclass

HELD_TIMES = 3
"""As many times the idle time we wait by our own clock: where Redis' clock is right, the entry has long been claimed."""


@dataclass(frozen=True, slots=True)
class Head:
    """The oldest entry of a stream."""

    entry_id: str
    written_ms: int
    """By Redis' clock then. An entry of the release before has only the time in its id, which never goes back."""


class Ages:
    """Remembers since when a stream has had the same oldest entry: that long it waits at least, wherever Redis' clock stands."""

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


class Held:
    """Decides how long an entry that another gateway holds must be idle before it is claimed.

    Redis counts idle times from the delivery, by its clock. Set back, that clock lets nobody claim what a dead gateway held until it has
    caught up, so this remembers by our own clock since when the oldest of these entries has been the same.
    """

    def __init__(self, idle_ms: int) -> None:
        """Entries that are idle for `idle_ms` are to be claimed."""
        self._idle_ms = idle_ms
        self._ages = Ages()
        self._held_ms: dict[str, int] = {}

    def note(self, stream: str, delivery: str | None, seconds: float) -> None:
        """`delivery` names the entry, its holder, and which delivery it was; None if nobody else holds one. `seconds` as in Ages."""
        head = None if delivery is None else Head(delivery, 0)
        self._held_ms[stream] = self._ages.age_ms(stream, head, 0, seconds)

    def claim_idle_ms(self, stream: str) -> int:
        """How long Redis must say that an entry is idle for it to be claimed: 0 once our own clock has seen it for much longer."""
        return 0 if self._held_ms.get(stream, 0) > HELD_TIMES * self._idle_ms else self._idle_ms
