"""A gateway's consumer in the group `relay` of each shared outbox: it reads new entries, and claims those of a gateway that died."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from flashsale_core.records import Entry
from flashsale_core.scripts import Scripts, call
from flashsale_gateway import metrics
from flashsale_gateway.outbox.ages import ClaimPolicy
from flashsale_gateway.outbox.streams import delete_entries, delivery_of, entries_of, read_entries

GROUP = "relay"
READ_COUNT = 64
CONSUMER_IDLE_MS_MAX = 3_600_000
NEW, HELD = ">", "0"
"""Where a read begins: at what no consumer has read, or at the first entry that this consumer holds."""
# A script, because a full server refuses the plain command, and a relay that cannot begin leaves the server full.
CREATE_GROUP = "#!lua flags=allow-oom\nreturn redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')"
# One step: a read that was given up may still be handed entries, and a deleted consumer takes what it holds out of everybody's reach.
LEAVE = """#!lua flags=allow-oom
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
end"""


class GroupConsumer:
    """Every method raises RedisError, OSError and TimeoutError, except `leave`."""

    def __init__(self, redis: Redis, scripts: Scripts, name: str, block_ms: int, claim_idle_ms: int) -> None:
        """`name` is unlike that of any other gateway, now or later. `block_ms` is how long a read waits for new entries."""
        self.name = name
        self._redis = redis
        self._scripts = scripts
        self._block_ms = block_ms
        self._claims = ClaimPolicy(claim_idle_ms)
        self._claim_from: dict[str, Any] = {}
        """Where the next claim of each stream begins. A claim examines few entries: those that a live consumer holds may be more."""

    async def create_groups(self, streams: Sequence[str]) -> None:
        for stream in streams:
            try:
                await self._redis.eval(CREATE_GROUP, 1, stream, GROUP)
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise

    async def read(self, after: Mapping[str, str]) -> list[Entry]:
        """At most READ_COUNT entries of each stream: new ones after NEW, else those that this consumer holds after an id."""
        block_ms = self._block_ms if NEW in after.values() else None
        streams: dict[Any, Any] = dict(after)
        return read_entries(await self._redis.xreadgroup(GROUP, self.name, streams, count=READ_COUNT, block=block_ms))

    async def claim(self, streams: Sequence[str]) -> list[Entry]:
        """Take over entries that another consumer has held for too long."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for stream in streams:
                start, idle_ms = self._claim_from.get(stream, "0-0"), self._claims.claim_idle_ms(stream)
                pipe.xautoclaim(stream, GROUP, self.name, idle_ms, start_id=start, count=READ_COUNT)
                pipe.xpending_range(stream, GROUP, "-", "+", 1)
            replies = await pipe.execute()
        self._claim_from |= {stream: reply[0] for stream, reply in zip(streams, replies[::2], strict=True)}
        for stream, pending in zip(streams, replies[1::2], strict=True):
            self._claims.observe(stream, delivery_of(pending, self.name), perf_counter())
        claimed = [entry for stream, reply in zip(streams, replies[::2], strict=True) for entry in entries_of(stream, reply[1])]
        metrics.CLAIMED.inc(len(claimed))
        return claimed

    async def confirm(self, entries: Sequence[Entry]) -> None:
        """Acknowledge entries that the broker has confirmed, and delete them."""
        await delete_entries(self._redis, entries, GROUP)

    async def prune(self, streams: Sequence[str]) -> None:
        """Delete consumers that hold nothing and have long been idle: gateways come and go under new names."""
        for stream in streams:
            await call(self._redis, self._scripts.prune_consumers, (stream,), GROUP, str(CONSUMER_IDLE_MS_MAX), "")

    async def leave(self, streams: Sequence[str]) -> None:
        """Delete this consumer from the groups where it holds nothing; what it holds elsewhere will be claimed."""
        for stream in streams:
            with suppress(RedisError, OSError):
                await self._redis.eval(LEAVE, 1, stream, GROUP, self.name)
