"""Remembers what each look at Redis showed: the highest positions, and which gateways are alive and attested to its history. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from flashsale_core.fence import OPEN, Attestation
from flashsale_recovery.facts import DrainState, ServerView, Witnesses

ALIVE_SECONDS = 3.0
"""A gateway whose attestation is older than this is not waited for."""
FORGET_SECONDS = 600.0
"""How long the name of a gateway that ended without leaving stays in Redis, at least."""

_CERTAINTY = (DrainState.NOT_TRIED, DrainState.FAILED, DrainState.DONE)


@dataclass(slots=True)
class _Shard:
    replid: str | None = None
    since_seconds: float = 0.0
    """When this history was first seen."""
    first: Mapping[str, Attestation] = field(default_factory=dict)
    """What the server had of the gateways when this history was first seen."""
    last: Mapping[str, Attestation] = field(default_factory=dict)
    changed_seconds: dict[str, float] = field(default_factory=dict)
    """When a gateway's attestation changed last."""
    expected: frozenset[str] = frozenset()
    """The gateways that were alive when the shard was open last."""
    ended: dict[str, int] = field(default_factory=dict)
    """Gateways that are silent while the shard is open, with its position then: they were answered no higher one."""
    highest_seq: int = 0
    drain: DrainState = DrainState.NOT_TRIED
    saw_open: bool = False


class Memory:
    """`now_seconds` below is any clock that never goes back."""

    def __init__(self) -> None:
        self._shards: dict[int, _Shard] = {}

    def observe(self, view: ServerView, now_seconds: float) -> None:
        for shard in view.shards:
            self._observe(self._shards.setdefault(shard, _Shard()), view, shard, now_seconds)

    def mark_drained(self, view: ServerView, drain: DrainState) -> None:
        """Note how a drain ended that began when the server was as in `view`."""
        for shard in view.shards:
            if self._shards[shard].replid == view.replid:
                self._shards[shard].drain = drain

    def witnesses(self, view: ServerView, now_seconds: float) -> Witnesses:
        """What is known of the shards of a server that was observed."""
        shards = {shard: self._shards[shard] for shard in view.shards}
        return Witnesses(
            highest_seq={shard: memory.highest_seq for shard, memory in shards.items()},
            expected=frozenset().union(*[memory.expected for memory in shards.values()]),
            attested=_in_all([_attested(memory) for memory in shards.values()]),
            spoken=_in_all([_spoken(memory) for memory in shards.values()]),
            waited_seconds=now_seconds - max(memory.since_seconds for memory in shards.values()),
            drain=min((memory.drain for memory in shards.values()), key=_CERTAINTY.index),
            saw_open=all(memory.saw_open for memory in shards.values()),
            ended={shard: _ended(memory) for shard, memory in shards.items()},
        )

    def forgettable(self, view: ServerView, received: Mapping[int, int], now_seconds: float) -> dict[int, list[str]]:
        """The gateways, by shard, that ended long ago, and of which the ledger has everything: up to `received`, by shard."""
        return {
            shard: [
                name for name, seq in self._shards[shard].ended.items()
                if seq <= received[shard] and now_seconds - self._shards[shard].changed_seconds[name] > FORGET_SECONDS
            ]
            for shard in view.shards
        }  # fmt: skip

    def _observe(self, memory: _Shard, view: ServerView, shard: int, now_seconds: float) -> None:
        fence, gateways = view.fences[shard], view.gateways[shard]
        if memory.replid is None:
            # A keeper that has just started remembers nobody: it goes by what Redis kept.
            memory.expected = _recent(gateways)
            latest_ms = max((attestation.at_ms for attestation in gateways.values()), default=0)
            silent = gateways.keys() - memory.expected
            memory.changed_seconds = {name: now_seconds - (latest_ms - gateways[name].at_ms) / 1000 for name in silent}
            memory.last = {name: gateways[name] for name in memory.changed_seconds}
        if memory.replid != view.replid:
            memory.replid, memory.since_seconds, memory.first, memory.drain = view.replid, now_seconds, gateways, DrainState.NOT_TRIED
        for name, attestation in gateways.items():
            if memory.last.get(name) != attestation:
                memory.changed_seconds[name] = now_seconds
        memory.last = gateways
        memory.highest_seq = max(memory.highest_seq, fence.seq, *[attestation.seq for attestation in gateways.values()])
        if fence.state == OPEN and fence.replid == view.replid:
            memory.expected, memory.saw_open = _alive(memory, gateways), True
            memory.ended = {name: memory.ended.get(name, fence.seq) for name in gateways.keys() - memory.expected}


def _spoken(memory: _Shard) -> frozenset[str]:
    return frozenset(name for name, attestation in memory.last.items() if memory.first.get(name) != attestation)


def _ended(memory: _Shard) -> dict[str, int | None]:
    """The gateways that have ended, or ended before this was first looked at: then nobody knows what they were answered."""
    # A Redis that is empty, or older, has lost their names.
    silent = (memory.last.keys() | memory.ended.keys()) - memory.expected - _spoken(memory)
    return {name: memory.ended.get(name) for name in silent}


def _attested(memory: _Shard) -> frozenset[str]:
    """A gateway that waits for an answer may still learn a higher position, from the server that was replaced: it holds that call."""
    return frozenset(name for name in _spoken(memory) if memory.last[name].held == 0)


def _alive(memory: _Shard, gateways: Mapping[str, Attestation]) -> frozenset[str]:
    """The gateways that attested shortly before the last one did. One that left has deleted its field."""
    changed = {name: memory.changed_seconds[name] for name in gateways}
    latest = max(changed.values(), default=0.0)
    return frozenset(name for name, at in changed.items() if latest - at <= ALIVE_SECONDS)


def _recent(gateways: Mapping[str, Attestation]) -> frozenset[str]:
    latest_ms = max((attestation.at_ms for attestation in gateways.values()), default=0)
    return frozenset(name for name, attestation in gateways.items() if latest_ms - attestation.at_ms <= ALIVE_SECONDS * 1000)


def _in_all(names: list[frozenset[str]]) -> frozenset[str]:
    return names[0].intersection(*names[1:]) if names else frozenset()
