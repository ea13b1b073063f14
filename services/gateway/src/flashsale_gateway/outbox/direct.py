"""The short way from a script's answer to RabbitMQ: what the script noted in the direct outbox is published from memory.

Reading the shared outbox through a group costs writes to Redis, each an fsync that orders wait for. Here the only write is the one that
forgets, for many entries at once. The stream is for what goes wrong: an entry whose answer was lost, or whose gateway died, lies there
until it is old, and is then moved to the shared outbox.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Container, Iterator, Sequence
from itertools import chain
from time import perf_counter

from redis.asyncio import Redis
from redis.exceptions import RedisError

from flashsale_core.chunks import chunked
from flashsale_core.faults import Server, describe_error
from flashsale_core.keys import shard_keys
from flashsale_core.records import Entry
from flashsale_core.scripts import Scripts, call
from flashsale_gateway import metrics
from flashsale_gateway.outbox.publisher import Publisher
from flashsale_gateway.settings import Settings
from flashsale_redis import one_slot_groups

FAILED_MAX = 1000
"""Entries of one routing key, not published yet, that are kept in memory for another try; beyond, they wait in the stream."""
CONFIRMED_MAX = 100_000
"""Entries that wait to be forgotten while Redis is away; beyond, they are published twice, which is harmless."""
MESSAGE_ENTRIES_MAX = 256
MESSAGE_BYTES_MAX = 131_072
RECLAIM_COUNT = 64
RECLAIM_CALLS_MAX = 64
log = logging.getLogger(__name__)


class DirectOutbox:
    def __init__(self, redis: Redis, scripts: Scripts, publisher: Publisher, settings: Settings) -> None:
        self._redis = redis
        self._scripts = scripts
        self._publisher = publisher
        self._settings = settings
        self._waiting: dict[str, list[Entry]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._sent_at = 0.0
        self._under_way: dict[asyncio.Task[None], Sequence[Entry]] = {}
        self._failed: dict[str, deque[Entry]] = {}
        self._confirmed: deque[Entry] = deque(maxlen=CONFIRMED_MAX)
        self._untidy = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether the next entry can be published at once: then it belongs into the direct outbox, else into the shared one."""
        return self._publisher.ready

    def send(self, entry: Entry) -> None:
        """Publish an entry of the direct outbox, and forget it once it is confirmed.

        At once after a pause; what follows closely travels together, in one message per routing key.
        """
        self._waiting.setdefault(entry.routing_key, []).append(entry)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            pause_seconds = self._settings.relay_linger_ms / 1000
            self._timer = loop.call_later(max(0.0, self._sent_at + pause_seconds - loop.time()), self._send_waiting)

    async def run(self) -> None:
        """Forget what is confirmed, and try again what failed, until cancelled. At rest nothing wakes."""
        while True:
            await self._untidy.wait()
            await asyncio.sleep(self._settings.relay_forget_ms / 1000)
            await self._tidy()
            if not self._failed and not self._confirmed:
                self._untidy.clear()

    async def finish(self) -> None:
        """Wait for what is under way, within its timeout; forget what is confirmed, and leave the rest to the other gateways' relays."""
        self._send_waiting()
        if self._under_way:
            await asyncio.wait(list(self._under_way), timeout=self._settings.relay_publish_timeout_seconds)
        await self._forget()
        left = [
            *chain.from_iterable(self._failed.values()),
            *chain.from_iterable(self._waiting.values()),
            *chain.from_iterable(self._under_way.values()),
        ]
        self._failed.clear()
        self._waiting.clear()
        await asyncio.gather(*[self._leave(shard, left) for shard in range(self._settings.shards)])

    async def reclaim(self, shard: int) -> int:
        """Move what is old to the shared outbox; returns how many. Raises RedisError, OSError and TimeoutError."""
        keys, moved = shard_keys(shard), 0
        for _ in range(RECLAIM_CALLS_MAX):
            arguments = (str(self._settings.relay_claim_idle_ms), str(RECLAIM_COUNT), "")
            _, _, count = await call(self._redis, self._scripts.reclaim, (keys.direct, keys.outbox), *arguments)
            moved += count
            if count < RECLAIM_COUNT:
                break
        if moved:
            metrics.RECLAIMED.inc(moved)
            log.warning("handoff.rescued", extra={"shard": shard, "entries": moved})
        return moved

    async def _leave(self, shard: int, left: Sequence[Entry]) -> None:
        """Move entries of one shard to the shared outbox at once; by age alone they would wait there until they are reclaimed."""
        keys = shard_keys(shard)
        entries = [entry for entry in left if entry.stream == keys.direct]
        if not entries:
            return
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for entry in entries:
                    pipe.xadd(keys.outbox, {"k": entry.routing_key, "b": entry.body})
                await pipe.execute()
            # Only now: what is in both streams is published twice, which is harmless; what is in neither would be lost.
            await forget(self._redis, entries)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("handoff.left", extra={"shard": shard, "entries": len(entries), "reason": describe_error(Server.REDIS, error)})
            return
        metrics.RECLAIMED.inc(len(entries))
        log.warning("handoff.rescued", extra={"shard": shard, "entries": len(entries)})

    def _send_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._sent_at = None, loop.time()
        waiting, self._waiting = self._waiting, {}
        for routing_key, entries in waiting.items():
            if routing_key in self._publisher.refusals:
                self._keep(entries)
            else:
                for message in in_messages(entries):
                    self._start(message)

    def _start(self, message: Sequence[Entry]) -> None:
        task = asyncio.get_running_loop().create_task(self._send(message))
        self._under_way[task] = message
        task.add_done_callback(self._under_way.pop)

    async def _send(self, entries: Sequence[Entry]) -> None:
        try:
            await self._publisher.publish(entries)
        except Exception as error:
            # The edge: whatever the broker did, the entries are still in their streams.
            log.debug("handoff.failed", extra={"entries": len(entries), "reason": type(error).__name__})
            self._keep(entries)
        else:
            self._confirmed.extend(entries)
        self._untidy.set()

    def _keep(self, entries: Sequence[Entry]) -> None:
        self._failed.setdefault(entries[0].routing_key, deque(maxlen=FAILED_MAX)).extend(entries)
        self._untidy.set()

    async def _tidy(self) -> None:
        await self._forget()
        if self._publisher.ready:
            for routing_key in list(self._failed):
                self._try_again(routing_key)

    def _try_again(self, routing_key: str) -> None:
        """All that failed, or as many as may try a route that is refused: each of them also goes to the queues that are not full."""
        failed = self._failed[routing_key]
        count = self._publisher.refusals.take(routing_key, len(failed), perf_counter())
        for message in in_messages([failed.popleft() for _ in range(count)]):
            self._start(message)
        if not failed:
            del self._failed[routing_key]

    async def _forget(self) -> None:
        # Taken out first: `finish` may forget while `run` still does.
        entries = list(self._confirmed)
        self._confirmed.clear()
        groups = one_slot_groups(self._redis, dict.fromkeys(entry.stream for entry in entries))
        kept = await asyncio.gather(*[self._forget_in(set(streams), entries) for streams in groups if streams])
        # Those whose Redis did not answer come first again; should they be moved meanwhile, they are published twice.
        self._confirmed.extendleft(chain.from_iterable(kept))

    async def _forget_in(self, streams: Container[str], entries: Sequence[Entry]) -> list[Entry]:
        """Returns those that could not be deleted from `streams`."""
        there = [entry for entry in entries if entry.stream in streams]
        try:
            await forget(self._redis, there)
        except (RedisError, OSError, TimeoutError):
            return there
        return []


def in_messages(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Cut what waits into messages of at most MESSAGE_ENTRIES_MAX entries and MESSAGE_BYTES_MAX bytes; a larger entry goes alone."""
    return chunked(entries, MESSAGE_ENTRIES_MAX, MESSAGE_BYTES_MAX, lambda entry: len(entry.body))


async def forget(redis: Redis, entries: Sequence[Entry], group: str = "") -> None:
    """Delete entries from their streams, in one round trip; first acknowledge them to `group`."""
    by_stream: dict[str, list[str]] = {}
    for entry in entries:
        by_stream.setdefault(entry.stream, []).append(entry.entry_id)
    async with redis.pipeline(transaction=False) as pipe:
        for stream, ids in by_stream.items():
            if group:
                pipe.xack(stream, group, *ids)
            pipe.xdel(stream, *ids)
        await pipe.execute()
