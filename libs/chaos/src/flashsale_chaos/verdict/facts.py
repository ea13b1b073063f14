"""What the stores contain after a round, as values. Pure."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from operator import and_
from typing import NamedTuple

import msgspec

from flashsale_core.messages import Message, Position
from flashsale_core.orders import State
from flashsale_core.positions import Range


class OrderRow(NamedTuple):
    """An order in the ledger."""

    state: State
    user_id: str
    quantity: int
    payment_id: str


class PaymentRow(NamedTuple):
    """A payment in the ledger."""

    result: str
    reason: str
    amount_minor: int


class Incarnation(NamedTuple):
    """An incarnation of the crowd's shard. Times are of the crowd's monotonic clock, in seconds."""

    number: int
    fenced: float
    """When the incarnation before it ended."""
    opened: float
    """When it could be written to; one that never could is not listed."""
    lost_entries: int
    """Entries of the incarnations before it that the keeper reported as lost when it was opened."""


class Line(NamedTuple):
    """A message of an entry, and the entry's place."""

    position: Position
    place: int
    """Among the messages of the entry."""
    message: Message


class Facts(msgspec.Struct):
    orders: Mapping[str, OrderRow]
    """By order id, with the sale."""
    payments: Mapping[tuple[str, str], PaymentRow]
    """By payment id and order id with the sale."""
    refunds: frozenset[tuple[str, str]]
    """The same keys."""
    incarnations: Sequence[Incarnation]
    """Those of the shard of the crowd, in ascending order."""
    totals: Mapping[str, int]
    """The stock of each sale that the ledger knows."""
    lines: Sequence[Line]
    """The messages that the ledger received, those of each entry once, in the order of positions."""

    given: Mapping[int, Range] = {}
    """The positions of each incarnation that somebody knows to be given; an incarnation without entries ends before it begins."""

    def whole(self) -> dict[int, bool]:
        """Whether the ledger received, and the tap saw, every entry of an incarnation: of the first one, from the first line on."""
        seen: dict[int, list[int]] = {}
        for line in self.lines:
            of_it = seen.setdefault(line.position.incarnation, [])
            if not of_it or of_it[-1] != line.position.seq:
                of_it.append(line.position.seq)
        first = min(seen, default=0)
        numbers = sorted(seen.keys() | {number for number in self.given if number > first})
        return {number: self._is_whole(number, seen.get(number, []), is_first=number == first) for number in numbers}

    def complete(self) -> dict[int, bool]:
        """Whether an incarnation and all before it are whole: only then is an order that no line has reserved unknown."""
        whole = self.whole()
        return dict(zip(whole, accumulate(whole.values(), and_), strict=True))

    def _is_whole(self, number: int, seen: Sequence[int], *, is_first: bool) -> bool:
        # Entries at the beginning or the end may be lost as well: they leave no gap between lines.
        known = [*([self.given[number]] if number in self.given else []), *([Range(seen[0], seen[-1])] if seen else [])]
        begin = seen[0] if is_first else min(each.first for each in known)
        return list(seen) == list(range(begin, max(each.last for each in known) + 1))
