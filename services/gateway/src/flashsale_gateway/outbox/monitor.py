"""The monitor of both outboxes: it measures their age, reclaims what lies too long in a direct one, and leaves a demoted server.

If a Redis does not answer or refuses, its last figures stay, and the log names the reason once. No more is needed: its orders fail anyway.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

from redis.asyncio import Redis
from redis.exceptions import RedisError

from flashsale_core.faults import Server, describe_error
from flashsale_core.keys import shard_keys
from flashsale_gateway import metrics
from flashsale_gateway.outbox.ages import StreamAges
from flashsale_gateway.outbox.direct import DirectOutbox
from flashsale_gateway.outbox.streams import head_of
from flashsale_gateway.settings import Settings
from flashsale_redis import one_slot_groups, refuse_replica

MEASURE_EVERY_SECONDS = 1.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backlog:
    """The entries of one stream, and the age of the oldest."""

    entries: int
    age_ms: int


class Lag:
    """Age of the oldest entry that is not published, and the limit past which no order is accepted."""

    def __init__(self, limit_ms: int) -> None:
        self.ms = 0
        self._limit_ms = limit_ms

    @property
    def is_past_limit(self) -> bool:
        return self.ms > self._limit_ms


class Monitor:
    def __init__(self, clients: Sequence[Redis], outbox: DirectOutbox, settings: Settings, lag: Lag) -> None:
        """The first of `clients` measures; each of them leaves a server that was demoted. `lag` is kept up to date."""
        self._clients = clients
        self._outbox = outbox
        self._lag = lag
        self._reclaim_ms = settings.relay_claim_idle_ms
        self._shards = [shard_keys(shard) for shard in range(settings.shards)]
        self._groups = one_slot_groups(clients[0], [stream for shard in self._shards for stream in (shard.outbox, shard.direct)])
        self._backlogs: dict[str, Backlog] = {}
        self._ages = StreamAges()
        self._failures: dict[str, str] = {}
        """The reason of each step that failed the last time."""

    async def run(self) -> None:
        """Measure and reclaim until cancelled."""
        while True:
            # A sale that is sold out is only read, and a demoted master would answer such reads for as long as it runs.
            await asyncio.gather(*[self._leave_replica(number) for number in range(len(self._clients))])
            await asyncio.gather(*[self._measure(streams) for streams in self._groups])
            self._report()
            await self._reclaim()
            await asyncio.sleep(MEASURE_EVERY_SECONDS)

    async def _leave_replica(self, number: int) -> None:
        with self._log_once(f"role {number}"):
            await refuse_replica(self._clients[number])

    async def _measure(self, streams: Sequence[str]) -> None:
        with self._log_once(streams[0]):
            self._backlogs.update(await backlogs(self._clients[0], streams, self._ages))

    def _report(self) -> None:
        self._lag.ms = max((backlog.age_ms for backlog in self._backlogs.values()), default=0)
        metrics.OUTBOX_LAG_SECONDS.set(self._lag.ms / 1000)
        metrics.OUTBOX_ENTRIES.set(sum(backlog.entries for backlog in self._backlogs.values()))

    async def _reclaim(self) -> None:
        for number, shard in enumerate(self._shards):
            backlog = self._backlogs.get(shard.direct)
            if backlog is not None and backlog.age_ms > self._reclaim_ms:
                with self._log_once(f"reclaim {number}"):
                    await self._outbox.reclaim(number)

    @contextmanager
    def _log_once(self, step: str) -> Iterator[None]:
        """Pass over an error of Redis, and log each reason once, however many shards have it: the user may lack a right."""
        try:
            yield
        except (RedisError, OSError, TimeoutError) as error:
            reason = describe_error(Server.REDIS, error)
            if reason not in self._failures.values():
                log.warning("watch.failed", extra={"what": step, "reason": reason})
            self._failures[step] = reason
        else:
            if self._failures.pop(step, None) is not None and not self._failures:
                log.info("watch.recovered")


async def backlogs(redis: Redis, streams: Sequence[str], ages: StreamAges) -> dict[str, Backlog]:
    """The backlog of each stream, by Redis' clock, or by our own where that clock was moved. Raises RedisError, OSError, TimeoutError."""
    async with redis.pipeline(transaction=False) as pipe:
        pipe.time()
        for stream in streams:
            pipe.xlen(stream)
        (seconds, micros), *lengths = await pipe.execute()
    filled = [stream for stream, length in zip(streams, lengths, strict=True) if length]
    async with redis.pipeline(transaction=False) as pipe:
        for stream in filled:
            pipe.xrange(stream, count=1)
        heads = dict(zip(filled, await pipe.execute(), strict=True))
    now_ms = seconds * 1000 + micros // 1000
    return {
        stream: Backlog(length, ages.age_ms(stream, head_of(heads.get(stream)), now_ms, perf_counter()))
        for stream, length in zip(streams, lengths, strict=True)
    }
