"""How much of one incarnation of a shard the ledger has received, and which of its entries will hardly arrive any more. Pure: no clock."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from flashsale_core.positions import Range, contiguous_to, holes


@dataclass(slots=True)
class Progress:
    complete_to: int
    """Each entry up to this position was received, or is in `holes`."""
    hole_seconds: float
    holes: list[Range] = field(default_factory=list)
    """Entries that are missing, although the ledger has had later ones for `hole_seconds`."""
    _highest: deque[tuple[float, int]] = field(default_factory=deque)
    """The highest position that had been received, by the time it was seen."""

    def note(self, received: Sequence[Range], newest: int, now: float) -> list[Range]:
        """Note what the ledger has beyond `complete_to`. Returns the entries up to `newest` that are missing and may still arrive."""
        self._highest.append((now, max((known.last for known in received), default=self.complete_to)))
        overtaken_to = self._highest_before(now - self.hole_seconds)
        missing = holes(received, self.complete_to + 1, newest)
        # A range of missing entries contains no received one, so `overtaken_to` is outside each of them.
        overtaken = [hole for hole in missing if hole.last < overtaken_to]
        self.holes += overtaken
        self.complete_to = contiguous_to([*received, *overtaken], self.complete_to + 1)
        return missing[len(overtaken) :]

    def is_overtaken(self, missing: Range) -> bool:
        """Whether the ledger has a later entry than these."""
        return missing.last < self._highest[-1][1]

    def _highest_before(self, moment: float) -> int:
        """The highest position that had been received at `moment`; 0 if nothing was seen until then."""
        while len(self._highest) > 1 and self._highest[1][0] <= moment:
            self._highest.popleft()
        at, position = self._highest[0]
        return position if at <= moment else 0


def still_missing(suspects: Sequence[Range], received: Sequence[Range]) -> list[Range]:
    """The parts of `suspects` that are not in `received`."""
    return [missing for suspect in suspects for missing in holes(received, *suspect)]
