"""What the recovery knows of a Redis server and of the ledger when it decides. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from flashsale_core.fence import OPEN, Attestation, Fence


class DrainState(Enum):
    NOT_TRIED = auto()
    DONE = auto()
    FAILED = auto()
    """RabbitMQ or the order-workers are away."""


NEW = "new"
"""The state of a shard in the ledger whose fence was never opened."""


@dataclass(frozen=True, slots=True)
class ServerView:
    """A Redis server at one moment, with the shards that it holds."""

    replid: str
    """Its replication id; empty where INFO is forbidden."""
    fences: Mapping[int, Fence]
    """By shard."""
    gateways: Mapping[int, Mapping[str, Attestation]]
    """What each gateway attested, by shard; read before the fences, so no attested position is younger than its fence."""
    may_run_info: bool = True
    """False if the ACL of our own Redis user forbids INFO. A server without INFO for anybody only has no replication id."""

    @property
    def shards(self) -> list[int]:
        return sorted(self.fences)

    @property
    def is_open(self) -> bool:
        """Whether every fence is open for the history that the server has."""
        return all(fence.state == OPEN and fence.replid == self.replid for fence in self.fences.values())


def restricted(view: ServerView, shards: Collection[int]) -> ServerView:
    """The view of some of the server's shards."""
    return replace(view, fences={shard: fence for shard, fence in view.fences.items() if shard in shards})


@dataclass(frozen=True, slots=True)
class Installation:
    """The single row of the ledger's table `installation`."""

    name: str
    ledger: str
    """The ledger's id."""
    shards: int

    def fault(self, name: str, shards: int) -> str | None:
        """Why it is not the installation that the settings name; None if it is."""
        if self.shards != shards:
            return f"FLASHSALE_SHARDS is {shards}, and the ledger has {self.shards}: it cannot change"
        if self.name != name:
            return f"FLASHSALE_INSTALLATION is {name!r}, and the ledger belongs to {self.name!r}"
        return None


@dataclass(frozen=True, slots=True)
class LedgerShard:
    """The newest incarnation of a shard in the ledger. A shard that was never initialised has incarnation 0."""

    incarnation: int = 0
    first_seq: int = 1
    state: str = ""
    received_seq: int = 0
    """The highest position of this incarnation that the ledger received."""

    @property
    def highest_seq(self) -> int:
        """The highest position that the ledger knows to be given, or to be skipped."""
        return max(self.received_seq, self.first_seq - 1)


@dataclass(frozen=True, slots=True)
class LedgerFacts:
    installation: Installation | None
    shards: Mapping[int, LedgerShard] = field(default_factory=dict)
    """Shards that were initialised."""
    lacking: frozenset[int] = frozenset()
    """Shards that were not initialised, and whose Redis lacks sales of the ledger, because it has none at all."""
    doubtful: Mapping[int, str] = field(default_factory=dict)
    """Shards that were not initialised, and whose Redis lacks this sale of the ledger, but has others: which of the two is right?"""
    lately_lost: int = 0
    """Entries that were reported as lost within the last hour."""

    def shard(self, shard: int) -> LedgerShard:
        return self.shards.get(shard, LedgerShard())


@dataclass(frozen=True, slots=True)
class Witnesses:
    """What others know of the shards of a server, and whether those who should speak have spoken."""

    highest_seq: Mapping[int, int] = field(default_factory=dict)
    """The highest position that a gateway was answered or that the keeper read, by shard."""
    expected: frozenset[str] = frozenset()
    """Gateways that were alive shortly before the server's history changed."""
    attested: frozenset[str] = frozenset()
    """Gateways that attested to this history, and hold nothing that is unpublished or unanswered."""
    spoken: frozenset[str] = frozenset()
    """Gateways that attested to this history, whatever they hold."""
    waited_seconds: float = 0.0
    """Since this history was first seen."""
    drain: DrainState = DrainState.NOT_TRIED
    """Whether the queue `orders` was drained since."""
    saw_open: bool = False
    """Whether whoever looks has itself seen all these shards open: otherwise a gateway that was cut off before may be unknown to it."""

    ended: Mapping[int, Mapping[str, int | None]] = field(default_factory=dict)
    """Gateways that had ended before the history changed, without leaving, by shard: the last position they can have been answered."""

    @property
    def knew_all(self) -> bool:
        """Whether whoever looks saw all gateways while the shards were open, so that only one that is silent may know a higher position."""
        return self.saw_open and not any(None in ended.values() for ended in self.ended.values())

    @property
    def silent(self) -> list[str]:
        return sorted(self.expected - self.attested)
