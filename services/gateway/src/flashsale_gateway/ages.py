"""How old what waits in an outbox is, although Redis' clock may be set forward and back. Pure."""

from dataclasses import dataclass


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
