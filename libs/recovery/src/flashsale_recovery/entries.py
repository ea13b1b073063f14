"""Waits for the entries that the ledger lacks, and counts those that nobody has any more."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from flashsale_core.keys import shard_keys
from flashsale_core.positions import Range, holes
from flashsale_recovery.ledger import Key, Ledger
from flashsale_recovery.outbox_positions import read_positions

HOLES_POLL_SECONDS = 0.25
SLOW_SECONDS = 2.0
"""A batch that is being written for longer may keep another order-worker from writing what it holds."""
LIMITS_MAX = 4
"""With slow batches, missing entries are waited for this many times as long at most: longer than Postgres keeps a frozen transaction."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The entries of an incarnation that the ledger must have."""

    first_seq: int
    last_seq: int
    kept_seq: int
    """The last position of Redis itself: a gateway that stopped may have added later entries to an outbox, without their orders."""
    closed_seq: int | None = None
    """Where an earlier attempt closed the incarnation: what is missing behind it is late if it still comes, so it is not waited for."""

    def may_arrive(self, missing: Sequence[Range]) -> bool:
        return any(self.closed_seq is None or hole.first <= self.closed_seq for hole in missing)


async def wait_for_entries(
    redis: Redis, ledger: Ledger, expected: Mapping[Key, Expected], timeout_seconds: float
) -> dict[Key, list[Range]]:
    """Wait until the ledger has the expected entries of each incarnation that may still arrive, at most `timeout_seconds` after the last
    slow batch.

    Returns the entries that are in neither the ledger nor an outbox of the surviving Redis: they are lost. Those that were reported as
    lost before are not among them.
    """
    began, slow = time.monotonic(), SlowBatches()
    ends_at = began + timeout_seconds
    while True:
        # RabbitMQ gives the messages of a frozen worker to another one, whose rows wait for those that the frozen one has written.
        if slow.among(await ledger.batches_being_written(), time.monotonic()):
            ends_at = min(time.monotonic() + timeout_seconds, began + LIMITS_MAX * timeout_seconds)
        lacking = {key: await _lacking(redis, ledger, key, entries) for key, entries in expected.items()}
        may_arrive = any(entries.may_arrive(lacking[key]) for key, entries in expected.items())
        if not may_arrive or time.monotonic() > ends_at:
            return {key: of_it for key, of_it in lacking.items() if of_it}
        await asyncio.sleep(HOLES_POLL_SECONDS)


class SlowBatches:
    """Which batches have been written for longer than SLOW_SECONDS. Pure."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def among(self, batches: Iterable[str], now: float) -> bool:
        """Whether a batch of this look was there SLOW_SECONDS ago, at an earlier look."""
        self._since = {batch: self._since.get(batch, now) for batch in batches}
        return any(now - since > SLOW_SECONDS for since in self._since.values())


async def _lacking(redis: Redis, ledger: Ledger, key: Key, expected: Expected) -> list[Range]:
    settled = await ledger.settled(*key, expected.first_seq)
    lacking = holes(settled, expected.first_seq, max([expected.last_seq, *[known.last for known in settled]]))
    return await _without_outbox(redis, key, expected, lacking) if lacking else []


async def _without_outbox(redis: Redis, key: Key, expected: Expected, lacking: list[Range]) -> list[Range]:
    """The ranges without the entries that the surviving Redis still has: these are published once the shard is open."""
    shard, incarnation = key
    keys = shard_keys(shard)
    waiting = [
        Range(seq, seq)
        for stream in (keys.direct, keys.outbox)
        for seq in await read_positions(redis, stream, incarnation)
        if seq <= expected.kept_seq
    ]
    return [hole for first, last in lacking for hole in holes(waiting, first, last)]


async def without_received(ledger: Ledger, lost: Mapping[Key, Sequence[Range]]) -> dict[Key, list[Range]]:
    """The lost entries without those that the ledger has received since they were counted."""
    left = {}
    for key, ranges in lost.items():
        received = await ledger.settled(*key, ranges[0].first)
        left[key] = [hole for first, last in ranges for hole in holes(received, first, last)]
    return {key: of_it for key, of_it in left.items() if of_it}


def by_shard(lost: Mapping[Key, Sequence[Range]]) -> dict[int, list[Range]]:
    """The entries of all incarnations of a shard; positions rise over incarnations."""
    ranges: dict[int, list[Range]] = {}
    for (shard, _), of_it in sorted(lost.items()):
        ranges.setdefault(shard, []).extend(of_it)
    return ranges
