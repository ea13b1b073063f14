"""How often checks are repeated that read all rows of a sale in the ledger. Pure: the clock is passed in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic


@dataclass(slots=True)
class Repeats:
    """Postgres computes these checks, so the share of the auditor does not bound what they cost."""

    seconds_per_order: float = 0.0
    """A check without differences is not repeated for that long, by the orders of all sales."""
    clock: Callable[[], float] = monotonic
    _orders: int = 0
    _clean_at: dict[str, float] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)
    _proven: dict[str, Mapping[str, int]] = field(default_factory=dict)

    def is_due(self, check: str) -> bool:
        self._asked.add(check)
        clean_at = self._clean_at.get(check)
        return clean_at is None or self.clock() - clean_at >= self._orders * self.seconds_per_order

    def note(self, check: str, differences: int) -> None:
        """A check that names differences is made again in the next round, so that those that are gone disappear."""
        if differences:
            self._clean_at.pop(check, None)
        else:
            self._clean_at[check] = self.clock()

    def take_proven(self, check: str) -> Mapping[str, int]:
        """What `note_proven` noted of this check in the last round; it is forgotten unless it is noted again."""
        self._asked.add(check)
        return self._proven.pop(check, {})

    def note_proven(self, check: str, units: Mapping[str, int]) -> None:
        """Note the buyers whose difference was proven by a pass over all orders, and by how many units they differ."""
        self._proven[check] = units

    def end_round(self, orders: int) -> None:
        """Note the orders of all sales, and forget the checks that were not asked for in this round: their sales are gone."""
        self._orders = orders
        self._clean_at = {check: at for check, at in self._clean_at.items() if check in self._asked}
        self._proven = {check: units for check, units in self._proven.items() if check in self._asked}
        self._asked.clear()
