"""The direct outbox: what a script noted there is published from memory, straight from the script's answer.

Reading the shared outbox through a consumer group costs writes to Redis, each an fsync that orders wait for. Here the only write is the
deletion, for many entries at once. The stream is for failures: an entry whose answer was lost, or whose gateway died, stays there until
it is old, and is then moved to the shared outbox.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Container, Iterator, Sequence
from itertools import chain
from time import perf_counter

from redis.asyncio import Redis
from redis.exceptions import RedisError

from flashsale_core import crash
from flashsale_core.chunks import chunked
from flashsale_core.faults import Server, describe_error
from flashsale_core.fence import KnownPositions
from flashsale_core.keys import reclaim_keys, shard_keys
from flashsale_core.records import Entry
from flashsale_core.scripts import Scripts, call
from flashsale_core.topology import RESERVED_ROUTING_KEY
from flashsale_gateway import metrics
from flashsale_gateway.outbox.confirms import Confirms
from flashsale_gateway.outbox.prompt_sends import PromptSends
from flashsale_gateway.outbox.publisher import Publisher
from flashsale_gateway.outbox.streams import delete_entries
from flashsale_gateway.settings import Settings
from flashsale_redis import one_slot_groups

FAILED_MAX = 1000
"""Unpublished entries of one routing key that are kept in memory for another try; further ones wait in the stream."""
CONFIRMED_MAX = 100_000
"""Confirmed entries that wait for their deletion while Redis is away; further ones are published twice, which is harmless."""
MESSAGE_ENTRIES_MAX = 256
MESSAGE_BYTES_MAX = 131_072
RECLAIM_COUNT = 64
RECLAIM_CALLS_MAX = 64
log = logging.getLogger(__name__)


class DirectOutbox:
    def __init__(self, redis: Redis, scripts: Scripts, publisher: Publisher, settings: Settings, known: KnownPositions) -> None:
        """`known` is handed in with every call of a script."""
        self._redis = redis
        self._known = known
        self._scripts = scripts
        self._publisher = publisher
        self._settings = settings
        self._waiting: dict[str, list[Entry]] = {}
        """Entries to be published, by routing key."""
        self.orders = PromptSends(self._send_waiting_of)
        """When the reservations that `confirm` publishes are sent."""
        self.payments = PromptSends(self._send_waiting_of)
        """The same for its other entries. Apart, so that a webhook does not wait for a crowd's orders."""
        self._confirms = Confirms(settings.confirm_timeout_seconds)
        self._timer: asyncio.TimerHandle | None = None
        self._sent_at = 0.0
        self._in_flight: dict[asyncio.Task[None], Sequence[Entry]] = {}
        self._failed: dict[str, deque[Entry]] = {}
        self._confirmed: deque[Entry] = deque(maxlen=CONFIRMED_MAX)
        self._cleanup_needed = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether the next entry can be published at once: then it belongs in the direct outbox, else in the shared one."""
        return self._publisher.ready

    def send(self, entry: Entry) -> None:
        """Publish an entry of the direct outbox, and delete it once it is confirmed.

        After a pause it is sent at once; entries that follow closely are sent together, in one message per routing key.
        """
        self._waiting.setdefault(entry.routing_key, []).append(entry)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            pause_seconds = self._settings.relay_linger_ms / 1000
            self._timer = loop.call_later(max(0.0, self._sent_at + pause_seconds - loop.time()), self._send_waiting)

    def confirm(self, entry: Entry, since: float) -> asyncio.Future[bool]:
        """Publish as `send`, but promptly. True once the broker has confirmed the entry, False if that takes too long.

        `since` is when the script call began, by time.monotonic.
        An entry whose route is refused, or whose channel is lost, is tried again meanwhile.
        """
        confirmed = self._confirms.wait_for(entry, since)
        self._waiting.setdefault(entry.routing_key, []).append(entry)
        prompt = self.orders if entry.routing_key.startswith(RESERVED_ROUTING_KEY) else self.payments
        prompt.request(entry.routing_key)
        return confirmed

    def held(self) -> Counter[str]:
        """How many entries of each stream are in memory and not confirmed."""
        return Counter(entry.stream for entry in self._unconfirmed())

    async def run(self) -> None:
        """Delete confirmed entries and retry failed ones, until cancelled. While nothing is sent, nothing wakes."""
        while True:
            await self._cleanup_needed.wait()
            await asyncio.sleep(self._settings.relay_forget_ms / 1000)
            await self._clean_up()
            if not self._failed and not self._confirmed:
                self._cleanup_needed.clear()

    async def finish(self, publish_seconds: float) -> None:
        """Wait for messages in flight for at most `publish_seconds`; delete confirmed entries, and move the rest to the shared outbox.

        If it is cancelled, entries stay in the direct outbox, and another gateway reclaims them.
        """
        self._send_waiting()
        if self._in_flight:
            await asyncio.wait(list(self._in_flight), timeout=publish_seconds)
        await self._delete_confirmed()
        unpublished = self._unconfirmed()
        self._failed.clear()
        self._waiting.clear()
        self._confirms.give_up()
        await asyncio.gather(*[self._move_to_shared(shard, unpublished) for shard in range(self._settings.shards)])

    async def reclaim(self, shard: int) -> int:
        """Move old entries to the shared outbox; returns how many. Raises RedisError, OSError and TimeoutError."""
        moved = 0
        for _ in range(RECLAIM_CALLS_MAX):
            arguments = (str(self._settings.relay_claim_idle_ms), str(RECLAIM_COUNT), "", str(self._known[shard]))
            _, _, count = await call(self._redis, self._scripts.reclaim, reclaim_keys(shard), *arguments)
            moved += count
            if count < RECLAIM_COUNT:
                break
        if moved:
            _report_moved(shard, moved)
        return moved

    def _unconfirmed(self) -> list[Entry]:
        return list(chain.from_iterable(chain(self._failed.values(), self._waiting.values(), self._in_flight.values())))

    async def _move_to_shared(self, shard: int, unpublished: Sequence[Entry]) -> None:
        """Move the entries of one shard to the shared outbox now; otherwise they would wait until they are old enough to be reclaimed."""
        keys = shard_keys(shard)
        entries = [entry for entry in unpublished if entry.stream == keys.direct]
        if not entries:
            return
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for entry in entries:
                    pipe.xadd(keys.outbox, {"k": entry.routing_key, "b": entry.body})
                await pipe.execute()
            crash.point("outbox.moved")
            # Only now: an entry in both streams is published twice, which is harmless; an entry in neither would be lost.
            await delete_entries(self._redis, entries)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("handoff.left", extra={"shard": shard, "entries": len(entries), "reason": describe_error(Server.REDIS, error)})
            return
        _report_moved(shard, len(entries))

    def _send_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._sent_at = None, loop.time()
        waiting, self._waiting = self._waiting, {}
        for entries in waiting.values():
            self._send_now(entries)

    def _send_waiting_of(self, routing_key: str) -> list[asyncio.Task[None]]:
        entries = self._waiting.pop(routing_key, None)
        return self._send_now(entries) if entries else []

    def _send_now(self, entries: Sequence[Entry]) -> list[asyncio.Task[None]]:
        """Publish entries of one routing key; returns a task for each message."""
        if entries[0].routing_key in self._publisher.refused_routes:
            self._keep_failed(entries)
            return []
        return [self._start(message) for message in in_messages(entries)]

    def _start(self, message: Sequence[Entry]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._publish(message))
        self._in_flight[task] = message
        task.add_done_callback(self._in_flight.pop)
        return task

    async def _publish(self, message: Sequence[Entry]) -> None:
        try:
            await self._publisher.publish(message)
        except Exception as error:
            # Broad on purpose: whatever the broker did, the entries are still in their streams.
            log.debug("handoff.failed", extra={"entries": len(message), "reason": type(error).__name__})
            self._keep_failed(message)
        else:
            self._confirmed.extend(message)
            self._confirms.confirm(message)
        self._cleanup_needed.set()

    def _keep_failed(self, entries: Sequence[Entry]) -> None:
        self._failed.setdefault(entries[0].routing_key, deque(maxlen=FAILED_MAX)).extend(entries)
        self._cleanup_needed.set()

    async def _clean_up(self) -> None:
        await self._delete_confirmed()
        if self._publisher.ready:
            for routing_key in list(self._failed):
                self._retry(routing_key)

    def _retry(self, routing_key: str) -> None:
        """Publish failed entries again: all of them, or only a few if the route is refused, because each one also reaches other queues."""
        failed = self._failed[routing_key]
        count = self._publisher.refused_routes.allow(routing_key, len(failed), perf_counter())
        for message in in_messages([failed.popleft() for _ in range(count)]):
            self._start(message)
        if not failed:
            del self._failed[routing_key]

    async def _delete_confirmed(self) -> None:
        # Taken out first: `finish` may delete while `run` still does.
        entries = list(self._confirmed)
        self._confirmed.clear()
        groups = one_slot_groups(self._redis, dict.fromkeys(entry.stream for entry in entries))
        kept = await asyncio.gather(*[self._delete_in(set(streams), entries) for streams in groups if streams])
        # Entries whose Redis did not answer come first next time; if they are moved meanwhile, they are published twice.
        self._confirmed.extendleft(chain.from_iterable(kept))

    async def _delete_in(self, streams: Container[str], entries: Sequence[Entry]) -> list[Entry]:
        """Delete the entries of `streams`; returns those that could not be deleted."""
        here = [entry for entry in entries if entry.stream in streams]
        try:
            await delete_entries(self._redis, here)
        except (RedisError, OSError, TimeoutError):
            return here
        return []


def in_messages(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Cut entries into messages of at most MESSAGE_ENTRIES_MAX entries and MESSAGE_BYTES_MAX bytes; a larger entry is sent alone."""
    return chunked(entries, MESSAGE_ENTRIES_MAX, MESSAGE_BYTES_MAX, lambda entry: len(entry.body))


def _report_moved(shard: int, entries: int) -> None:
    metrics.RECLAIMED.inc(entries)
    log.warning("handoff.rescued", extra={"shard": shard, "entries": entries})
