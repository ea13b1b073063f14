"""Waits until the gateways have published what they hold of shards that are fenced."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from redis.asyncio import Redis

from flashsale_core.fence import Attestation, read_attestations
from flashsale_core.keys import shard_keys

POLL_SECONDS = 0.1
UNKNOWN_SECONDS = 1.5
"""How long a keeper that knows no gateway waits for one: gateways attest every second at least."""
ROUNDS = 2
"""A gateway may have been sent an answer that it had not read when it attested first. The second time it has."""


@dataclass(slots=True)
class Attested:
    highest_seq: dict[int, int] = field(default_factory=dict)
    """The highest position that a gateway was answered, by shard."""
    silent: Sequence[str] = ()
    """Gateways that did not attest in time."""
    held: int = 0
    """Entries that gateways have not published yet."""


@dataclass(slots=True)
class _Gateway:
    last: Mapping[int, Attestation] = field(default_factory=dict)
    rounds: Counter[int] = field(default_factory=Counter)
    """How often it attested since, by shard: on a cluster it attests to each slot by itself."""

    @property
    def held(self) -> int:
        return sum(attestation.held for attestation in self.last.values())

    def observe(self, now: Mapping[int, Attestation]) -> bool:
        """Whether it attested since it was last observed."""
        changed = [shard for shard, attestation in now.items() if attestation != self.last.get(shard)]
        self.rounds.update(changed)
        self.last = now
        return bool(changed)


async def wait_for_gateways(redis: Redis, shards: Sequence[int], expected: frozenset[str], timeout_seconds: float) -> Attested:
    """Wait until each expected gateway has attested to each shard twice and holds nothing, but not longer. Raises as a command does."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    gateways = {name: _Gateway(last) for name, last in (await read_gateways(redis, shards)).items()}
    wanted = set(expected)
    while True:
        for name, last in (await read_gateways(redis, shards)).items():
            if gateways.setdefault(name, _Gateway()).observe(last):
                wanted.add(name)
        silent = sorted(name for name in wanted if name not in gateways or min(gateways[name].rounds[each] for each in shards) < ROUNDS)
        held = sum(gateways[name].held for name in wanted if name in gateways)
        waited = loop.time() - started
        if waited > timeout_seconds or (not silent and not held and (expected or waited > UNKNOWN_SECONDS)):
            return Attested(_highest(gateways, shards), silent, held)
        await asyncio.sleep(POLL_SECONDS)


async def read_gateways(redis: Redis, shards: Sequence[int]) -> dict[str, dict[int, Attestation]]:
    """What each gateway attested, by its name and the shard."""
    async with redis.pipeline(transaction=False) as pipe:
        for shard in shards:
            pipe.hgetall(shard_keys(shard).gateways)
        answers = await pipe.execute()
    by_name: dict[str, dict[int, Attestation]] = {}
    for shard, fields in zip(shards, answers, strict=True):
        for name, attestation in read_attestations(fields).items():
            by_name.setdefault(name, {})[shard] = attestation
    return by_name


async def forget_gateways(redis: Redis, names: Mapping[int, Sequence[str]]) -> int:
    """Delete what gateways attested that are gone. One that was only frozen attests again within a second. Returns how many fields."""
    gone = [(shard, each) for shard, each in names.items() if each]
    if gone:
        async with redis.pipeline(transaction=False) as pipe:
            for shard, each in gone:
                pipe.hdel(shard_keys(shard).gateways, *each)
            await pipe.execute()
    return sum(len(each) for _, each in gone)


def _highest(gateways: Mapping[str, _Gateway], shards: Sequence[int]) -> dict[int, int]:
    return {shard: max((g.last[shard].seq for g in gateways.values() if shard in g.last), default=0) for shard in shards}
