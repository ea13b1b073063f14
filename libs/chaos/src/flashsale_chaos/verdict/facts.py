"""What the stores contain after a round, as values. Pure."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from flashsale_core.messages import Message, Position
from flashsale_core.orders import State


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
    """Entries of the incarnation before it that the keeper reported as lost."""


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

    def whole(self) -> dict[int, bool]:
        """Whether the ledger received, and the tap saw, every entry of an incarnation from the first line on."""
        seen: dict[int, list[int]] = {}
        for line in self.lines:
            of_it = seen.setdefault(line.position.incarnation, [])
            if not of_it or of_it[-1] != line.position.seq:
                of_it.append(line.position.seq)
        return {number: all(after == before + 1 for before, after in pairwise(of_it)) for number, of_it in seen.items()}
