"""Waits for the entries that the ledger lacks, and counts those that nobody has any more."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from flashsale_core.keys import shard_keys
from flashsale_core.positions import Range, holes
from flashsale_recovery.ledger import Ledger
from flashsale_recovery.outbox_positions import read_positions

HOLES_POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Expected:
    """The entries of a shard that the ledger must have."""

    incarnation: int
    first_seq: int
    last_seq: int
    kept_seq: int
    """The last position of Redis itself: a gateway that stopped may have added later entries to an outbox, without their orders."""


async def wait_for_entries(
    redis: Redis, ledger: Ledger, expected: Mapping[int, Expected], timeout_seconds: float
) -> dict[int, list[Range]]:
    """Wait until the ledger has the expected entries of each shard, at most `timeout_seconds`.

    Returns the entries that are in neither the ledger nor an outbox of the surviving Redis, by shard: they are lost.
    """
    ends_at = time.monotonic() + timeout_seconds
    while True:
        lacking = {shard: await _lacking(redis, ledger, shard, entries) for shard, entries in expected.items()}
        if not any(lacking.values()) or time.monotonic() > ends_at:
            return {shard: of_shard for shard, of_shard in lacking.items() if of_shard}
        await asyncio.sleep(HOLES_POLL_SECONDS)


async def _lacking(redis: Redis, ledger: Ledger, shard: int, expected: Expected) -> list[Range]:
    received = await ledger.received(shard, expected.incarnation, expected.first_seq)
    lacking = holes(received, expected.first_seq, max([expected.last_seq, *[known.last for known in received]]))
    return await _without_outbox(redis, shard, expected, lacking) if lacking else []


async def _without_outbox(redis: Redis, shard: int, expected: Expected, lacking: list[Range]) -> list[Range]:
    """The ranges without the entries that the surviving Redis still has: these are published once the shard is open."""
    keys = shard_keys(shard)
    waiting = [
        Range(seq, seq)
        for stream in (keys.direct, keys.outbox)
        for seq in await read_positions(redis, stream, expected.incarnation)
        if seq <= expected.kept_seq
    ]
    return [hole for first, last in lacking for hole in holes(waiting, first, last)]


async def without_received(ledger: Ledger, lost: Mapping[int, Sequence[Range]], expected: Mapping[int, Expected]) -> dict[int, list[Range]]:
    """The lost entries without those that the ledger has received since they were counted."""
    left = {}
    for shard, ranges in lost.items():
        received = await ledger.received(shard, expected[shard].incarnation, ranges[0].first)
        left[shard] = [hole for first, last in ranges for hole in holes(received, first, last)]
    return {shard: of_shard for shard, of_shard in left.items() if of_shard}


def lost_counts(lost: Mapping[int, list[Range]]) -> dict[int, int]:
    return {shard: sum(hole.size for hole in of_shard) for shard, of_shard in lost.items()}
