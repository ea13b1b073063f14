"""What a recovery is given, and what it returns. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flashsale_core.positions import Range
from flashsale_recovery.rebuild import RebuildReport


@dataclass(frozen=True, slots=True)
class Options:
    amqp_url: str
    amqp_timeout_seconds: float = 10.0
    drain_seconds: float = 2.0
    """How long the queue may take to be drained before a history is accepted without it, in a new incarnation."""
    attest_seconds: float = 5.0
    """How long gateways may take to publish what they hold."""
    holes_seconds: float = 10.0
    """How long entries that the ledger lacks are waited for, after the queue was drained."""
    workers_seconds: float = 7.0
    """How long every order-worker may take to write what it has, since Redis' history changed or its shards were fenced."""
    drain_limit_seconds: float | None = None
    """How long a rebuild may wait for the queue and for order-workers before it gives up. A keeper waits for as long as it takes."""
    grace_ms: int = 60_000
    """How long buyers have, at least, to pay a hold after the sale goes on."""


@dataclass(frozen=True, slots=True)
class Recovered:
    incarnations: Mapping[int, int]
    lost: Mapping[int, Sequence[Range]]
    """Entries of ended incarnations that nobody has any more and that were not reported before, by shard."""
    report: RebuildReport
    seconds: float

    @property
    def lost_entries(self) -> int:
        return sum(hole.size for ranges in self.lost.values() for hole in ranges)
