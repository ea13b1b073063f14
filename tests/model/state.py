"""What the model of one shard consists of: Redis, its copy, gateways, broker, ledger and keeper, and what outsiders were answered.

Orders and gateways are small numbers. All orders are of one unit and of one sale.
"""

from dataclasses import dataclass, field

import msgspec

JUMP = 10
"""How far a new incarnation moves the positions on; larger than the number of entries of a run."""


class Value(msgspec.Struct, frozen=True, cache_hash=True, gc=False):
    """A part of a state. Hundreds of thousands of states are remembered, so each part's hash is computed once, and no part is traced."""


class Entry(Value, frozen=True, order=True):
    incarnation: int
    seq: int
    kind: str
    """The letter of the state that the order reached, or F: its payment is refunded."""
    order: int


class Fence(Value, frozen=True):
    state: str
    """open, fenced or restoring"""
    replid: int
    incarnation: int
    seq: int


class Redis(Value, frozen=True):
    """What is replicated. The history that INFO shows belongs to the server, not to its data: `State.info`."""

    records: tuple[str, ...]
    """The letter of each order's state, '' while it is unknown."""
    refunded: frozenset[int]
    available: int
    outbox: frozenset[Entry]
    fence: Fence | None


class Gateway(Value, frozen=True):
    known: int = 0
    """The highest seq it was answered."""
    held: frozenset[Entry] = frozenset()
    """Entries in memory that are not published yet."""
    confirmed: frozenset[Entry] = frozenset()
    """Published entries that are still in the outbox, and whose request may wait for its answer."""
    timely: frozenset[Entry] = frozenset()
    """Those whose confirm was seen soon enough after the script's call."""


class Closed(Value, frozen=True):
    """A past incarnation."""

    incarnation: int
    first_seq: int
    kept_seq: int
    """Up to here its entries are in Redis; later ones that the ledger has not received are late."""


class Ledger(Value, frozen=True):
    records: tuple[str, ...]
    refunded: frozenset[int] = frozenset()
    received: frozenset[Entry] = frozenset()
    incarnation: int = 1
    first_seq: int = 0
    """Where the incarnation began."""
    opened_seq: int = 0
    """Where the keeper opened it; -1 while it has not."""
    closed: tuple[Closed, ...] = ()


class State(Value, frozen=True):
    redis: Redis
    copy: Redis | None
    """What a replica or an old volume holds."""
    gateways: tuple[Gateway, ...]
    ledger: Ledger
    faults: int
    """How many losses of Redis may still happen."""
    upsets: int
    """How many crashes and silences of gateways and keeper may still happen."""
    copies: int
    info: int = 1
    """The replid that INFO shows."""
    broker: frozenset[Entry] = frozenset()
    marked: frozenset[Entry] = frozenset()
    """What was in the queue before the keeper's marker."""
    worker: frozenset[Entry] = frozenset()
    """What a worker acknowledged before it committed; only without that guard."""
    phase: str = "idle"
    """The keeper's: idle, fenced, marked, restoring, filled, noted."""
    silent: frozenset[int] = frozenset()
    """Gateways that did not attest in time."""
    died: bool = False
    """Whether a gateway died since the last opening."""
    fault_pending: bool = False
    accepted: frozenset[int] = frozenset()
    """Orders whose buyer was told that they are accepted."""
    born: tuple[frozenset[int], ...] = ()
    """The positions of the entries that bring each order to the ledger."""
    answered: frozenset[int] = frozenset()
    """Orders whose webhook was answered."""
    returned: frozenset[int] = frozenset()
    """Orders whose return the merchant was answered."""
    lost: frozenset[int] = frozenset()
    """Positions that the keeper reported as lost."""
    excused: frozenset[int] = frozenset()
    """Positions that only a gateway knew which died or was silent."""
    broken: str = ""
    """The promise that the last step broke."""


@dataclass(frozen=True, slots=True)
class Bounds:
    orders: int = 2
    units: int = 1
    gateways: int = 1
    confirmed: bool = False
    """Whether the sale's durability is `confirmed`."""
    reacquire: bool = False
    pays: bool = True
    cancels: bool = False
    returns: bool = False
    """Whether paid orders are returned, and their units are for sale again."""
    keeps: bool = False
    """Whether paid orders are returned, and their units stay sold."""
    expires: bool = True
    faults: int = 1
    """Losses of Redis: its disk, its newest writes, or only the process."""
    kinds: frozenset[str] = field(default_factory=lambda: frozenset({"promote", "lose", "restart"}))
    upsets: int = 0
    upset_kinds: frozenset[str] = field(default_factory=lambda: frozenset({"crash", "silence", "keeper"}))
    copies: int = 1
    without: frozenset[str] = frozenset()
    """Guards that are removed."""

    def has(self, guard: str) -> bool:
        return guard not in self.without

    def first(self) -> State:
        redis = Redis(("",) * self.orders, frozenset(), self.units, frozenset(), Fence("open", 1, 1, 0))
        copy = redis if "promote" in self.kinds and self.faults else None
        ledger = Ledger(redis.records)
        return State(
            redis, copy, (Gateway(),) * self.gateways, ledger, self.faults, self.upsets, self.copies, born=(frozenset[int](),) * self.orders
        )
