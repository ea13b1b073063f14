"""The fence of a shard, as its readers see it (lua/lib/fence.lua decides). Pure."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

OPEN = "open"
SEQ_JUMP = 1_000_000
"""How far a new incarnation continues above the highest known seq, so that no lost position is given twice.

etcd does the same with `--bump-revision` when it restores a snapshot.
"""
_REFUSAL = re.compile(r"\bFENCED (\w+)")


@dataclass(frozen=True, slots=True)
class Fence:
    """The hash of a fence. A fence that is missing has incarnation 0."""

    state: str = ""
    replid: str = ""
    incarnation: int = 0
    seq: int = 0
    installation: str = ""
    ledger: str = ""
    shards: int = 0

    @property
    def is_missing(self) -> bool:
        return not self.state


@dataclass(frozen=True, slots=True)
class Attestation:
    """What a gateway knows of a shard: a field of the hash that lua/attest.lua writes."""

    seq: int
    held: int
    """Entries in its memory that the broker has not confirmed."""
    at_ms: int
    """By Redis' clock."""


def read_fence(fields: Mapping[bytes, bytes]) -> Fence:
    """The fence in a hash. Raises ValueError if one of its numbers cannot be read."""
    text = {name.decode(): value.decode() for name, value in fields.items()}
    return Fence(
        state=text.get("state", ""),
        replid=text.get("replid", ""),
        incarnation=int(text.get("incarnation", 0)),
        seq=int(text.get("seq", 0)),
        installation=text.get("installation", ""),
        ledger=text.get("ledger", ""),
        shards=int(text.get("shards", 0)),
    )


def read_attestations(fields: Mapping[bytes, bytes]) -> dict[str, Attestation]:
    """What each gateway knows, by its name. A field that cannot be read counts as a gateway that says nothing."""
    attestations = {}
    for name, value in fields.items():
        with suppress(ValueError):
            seq, held, at_ms = value.split(b":")
            attestations[name.decode()] = Attestation(int(seq), int(held), int(at_ms))
    return attestations


def fenced_reason(error: BaseException) -> str | None:
    """Why a script refused to write: `missing`, `history`, `regressed` or the fence's state. None if the error is another."""
    match = _REFUSAL.search(str(error))
    return match[1] if match else None


def foreign_reason(fence: Fence, installation: str, shards: int, ledger: str = "") -> str | None:
    """Why a fence belongs to another installation; None if it does not. What the fence or the caller lacks matches."""
    if fence.installation not in ("", installation):
        return f"Redis belongs to the installation {fence.installation!r}, and FLASHSALE_INSTALLATION is {installation!r}"
    if fence.ledger and ledger and fence.ledger != ledger:
        return f"Redis belongs to the ledger {fence.ledger}, and this one is {ledger}"
    if fence.shards not in (0, shards):
        return f"Redis has the data of {fence.shards} shards, and FLASHSALE_SHARDS is {shards}: it cannot change while there is data"
    return None


class KnownPositions:
    """The highest seq that this process was answered in each shard. Handed in with every call, it shows a Redis that forgot writes."""

    def __init__(self, shards: int) -> None:
        self._seqs = [0] * shards

    def __getitem__(self, shard: int) -> int:
        return self._seqs[shard]

    def learn(self, shard: int, seq: int) -> None:
        # Answers of calls that overlap may arrive in any order.
        if seq > self._seqs[shard]:
            self._seqs[shard] = seq


def is_fenced(error: BaseException) -> bool:
    return fenced_reason(error) is not None
