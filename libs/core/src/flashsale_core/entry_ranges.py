"""Which outbox entries the messages of a batch belong to, as ranges of positions. Pure.

The order-worker stores them, and it and the notifier look for those that arrive after recovery has closed their incarnation.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from flashsale_core.messages import LedgerMarker, Message, PaymentRefunded, Position


class EntryRange(NamedTuple):
    """Entries of one shard and incarnation, both ends included."""

    shard: int
    incarnation: int
    from_seq: int
    to_seq: int


def position_of(message: Message) -> Position | None:
    """None for a message that is no outbox entry, and for one of an older release."""
    return None if isinstance(message, LedgerMarker | PaymentRefunded) else message.seq


def entry_ranges(positions: Iterable[Position]) -> Iterator[EntryRange]:
    """The ranges that contain exactly these positions, in ascending order."""
    # A plain loop, because a batch may have thousands of positions: positions.ranges_of for each shard takes three times as long.
    shard = incarnation = first = last = -1
    for place in sorted(positions):
        if place != (shard, incarnation, last + 1):
            if shard >= 0:
                yield EntryRange(shard, incarnation, first, last)
            shard, incarnation, first = place
        last = place[2]
    if shard >= 0:
        yield EntryRange(shard, incarnation, first, last)


def behind(claimed: Sequence[EntryRange], kept: Mapping[tuple[int, int], int]) -> list[EntryRange]:
    """The parts of the ranges that are behind the last kept seq of their incarnation; incarnations that are not in `kept` are open."""
    parts = []
    for claim in claimed:
        kept_seq = kept.get((claim.shard, claim.incarnation))
        if kept_seq is not None and claim.to_seq > kept_seq:
            parts.append(claim._replace(from_seq=max(claim.from_seq, kept_seq + 1)))
    return parts
