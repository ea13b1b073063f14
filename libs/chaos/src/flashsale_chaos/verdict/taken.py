"""What a loss of Redis took: the entries that were in an outbox when it died, and that the ledger never received. Pure.

An entry leaves an outbox after the broker's confirm, and the ledger gets what the broker has. So no other entry can be gone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from flashsale_chaos.loss import Loss, Place
from flashsale_core.messages import (
    LedgerMarker,
    Message,
    OrdersCancelled,
    OrdersExpired,
    OrdersReserved,
    OrdersReturned,
    PaymentRefunded,
    PaymentsRecorded,
    Position,
)
from flashsale_core.positions import Range


class Shard(NamedTuple):
    """A row of the ledger's table `shards`."""

    incarnation: int
    first_seq: int
    lost_entries: int
    kept_seq: int | None
    opened: float | None
    """By the crowd's monotonic clock; None if it never was."""


class Ledger(msgspec.Struct):
    shards: Mapping[int, Sequence[Shard]]
    """The incarnations of each shard, in ascending order."""
    received: Mapping[tuple[int, int], Sequence[Range]]
    """By shard and incarnation."""

    def has(self, position: Position) -> bool:
        ranges = self.received.get((position.shard, position.incarnation), ())
        return any(known.first <= position.seq <= known.last for known in ranges)


class Taken(NamedTuple):
    """What a loss took from a shard. The keeper counts up to the highest position that a gateway was answered."""

    shard: int
    place: Place
    """How far the shard had come."""
    lost_at: float
    opened: float
    """When it was open again."""
    gone: Sequence[Position]
    """In ascending order."""
    reported: int

    @property
    def counted(self) -> Sequence[Position]:
        return self.gone[: self.reported]

    @property
    def uncounted(self) -> Sequence[Position]:
        return self.gone[self.reported :]


def taken_by(loss: Loss, ledger: Ledger) -> Iterator[Taken]:
    """One for each shard that was opened again."""
    gone = sorted(position for position in loss.outbox if not ledger.has(position))
    for shard, place in sorted(loss.before.items()):
        reported, opened = _next_opening(ledger.shards.get(shard, ()), place.incarnation)
        if opened is not None:
            yield Taken(shard, place, loss.at, opened, [position for position in gone if position.shard == shard], reported)


def names_in(messages: Iterable[Message]) -> Iterator[str]:
    """The orders that messages are about, with their sales; the sale itself for its definition."""
    for message in messages:
        match message:
            case OrdersReserved() | OrdersExpired() | OrdersCancelled() | OrdersReturned():
                yield from (f"{message.sale}.{line.order_id}" for line in message.orders)
            case PaymentsRecorded():
                yield from (f"{message.sale}.{payment.order_id}" for payment in message.payments)
            case LedgerMarker() | PaymentRefunded():
                pass
            case _:
                yield message.sale


def _next_opening(shards: Sequence[Shard], incarnation: int) -> tuple[int, float | None]:
    """The lost entries that were reported when the shard was opened after an incarnation, and when that was."""
    reported = 0
    for shard in shards:
        if shard.incarnation > incarnation:
            reported += shard.lost_entries
            if shard.opened is not None:
                return reported, shard.opened
    return reported, None
