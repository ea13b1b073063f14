"""The steps of a recovery, and its rules. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Nothing:
    """All shards of the server are open."""


@dataclass(frozen=True, slots=True)
class Wait:
    reason: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """The data belongs to somebody else: nothing may be written."""

    reason: str


@dataclass(frozen=True, slots=True)
class Initialise:
    """The shards were never opened: open their first incarnation, with the data that is there."""

    shards: Sequence[int]


@dataclass(frozen=True, slots=True)
class Record:
    """Redis has a newer incarnation than the ledger, which was restored from a backup: write it down."""

    shards: Sequence[int]


@dataclass(frozen=True, slots=True)
class Reseal:
    """Redis has everything that anybody was answered: accept the history that it has now."""

    shards: Sequence[int]


@dataclass(frozen=True, slots=True)
class Drain:
    """Let the ledger have all that is in the queue before a history is accepted: a gateway that is gone may have been answered it."""


@dataclass(frozen=True, slots=True)
class Reopen:
    """Nothing is known to be missing, but somebody who could know is away: go on in a new incarnation, without a rebuild.

    What then still arrives from the old one is recognized as late.
    """

    shards: Sequence[int]
    reason: str


@dataclass(frozen=True, slots=True)
class Recover:
    """Redis lost writes: rebuild all shards of the server in a new incarnation."""

    reasons: Mapping[int, str]
    """Why, by shard."""


Step = Nothing | Wait | Refuse | Initialise | Record | Reseal | Reopen | Drain | Recover


@dataclass(frozen=True, slots=True)
class Rules:
    attest_seconds: float = 5.0
    """How long gateways may be silent after Redis' history changed."""
    reseal_without_ledger: bool = False
    rebuild_doubtful: bool = False
    """Whether a person said that the ledger is right about sales that a Redis of an earlier release lacks."""
