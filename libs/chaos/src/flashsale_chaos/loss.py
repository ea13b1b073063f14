"""A loss of Redis: what it had on its disk when it died, and what it came back with. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from flashsale_core.keys import SHARDS_DEFAULT
from flashsale_core.messages import Message, Position


class Place(NamedTuple):
    """How far a shard's fence had come."""

    incarnation: int
    seq: int


Places = Mapping[int, Place]
"""By shard."""
Outbox = Mapping[Position, Sequence[Message]]
"""The entries of all outboxes with their messages."""
NOTHING: Places = dict.fromkeys(range(SHARDS_DEFAULT), Place(0, 0))
"""What an empty disk has."""


class Loss(msgspec.Struct, frozen=True):
    at: float
    """Until when nobody can have been answered by what came back, by the monotonic clock."""
    before: Places
    after: Places
    outbox: Outbox = {}
    """What was not deleted from the outboxes when Redis died: what nobody had published, and what was confirmed last."""


def took_positions(before: Places, after: Places) -> bool:
    """Whether any shard came back without positions that it had."""
    return any(after.get(shard, Place(0, 0)) < place for shard, place in before.items())
