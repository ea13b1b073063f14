"""The relay: entries of the shared outbox to RabbitMQ, each confirmed before it leaves the outbox.

One consumer per gateway in one group per shard. An entry is published, confirmed, then acknowledged and deleted: a crash in
between publishes it again, and its readers are idempotent. What a dead gateway held is claimed by the living.

It also keeps the connection to the broker, for `handoff.py` too, and watches the age of both outboxes.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from time import perf_counter
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractExchange
from aio_pika.exceptions import PublishError
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from flashsale_core import topology
from flashsale_core.backoff import reconnect_backoff
from flashsale_core.broker import broker_session
from flashsale_core.faults import Server, describe_error
from flashsale_core.keys import shard_keys
from flashsale_core.records import Entry
from flashsale_core.scripts import Scripts, call
from flashsale_core.tasks import cancel_and_wait, only_own_cancellation, within
from flashsale_gateway import metrics
from flashsale_gateway.outbox.ages import Ages, Head, Held
from flashsale_gateway.outbox.direct import DirectOutbox, forget
from flashsale_gateway.outbox.publisher import Publisher
from flashsale_gateway.settings import Settings
from flashsale_redis import one_slot_groups, refuse_replica, server_of

GROUP = "relay"
READ_COUNT = 64
HELD_PAGES_MAX = 64
WAITING_PAGES_MAX = 8
"""Pages in a row with nothing but entries of refused routes: reading on for ever would hold up what is new."""
REFUSED_PAUSE_SECONDS = 1.0
CLAIM_EVERY_SECONDS = 5.0
PRUNE_EVERY_SECONDS = 300.0
LAG_EVERY_SECONDS = 1.0
CONSUMER_IDLE_MS_MAX = 3_600_000
PROBE_LIFE = timedelta(milliseconds=1)
# As a script, because a full server refuses the command, and a relay that cannot begin leaves it full.
_CREATE_GROUP = "#!lua flags=allow-oom\nreturn redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in one stream, and how old the oldest of it is."""

    entries: int
    age_ms: int


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of entries: published to routes that are not refused, and confirmed among these."""

    tried: int
    confirmed: int

    @property
    def failed(self) -> bool:
        """Whether the broker confirmed none of them: it may be the broker as a whole."""
        return self.tried > 0 and self.confirmed == 0


class Lag:
    """Age of the oldest entry that is not handed on, and the limit past which no order is taken."""

    def __init__(self, limit_ms: int) -> None:
        self.ms = 0
        self._limit_ms = limit_ms

    @property
    def is_past_limit(self) -> bool:
        return self.ms > self._limit_ms


class Relay:
    def __init__(self, redis: Redis, scripts: Scripts, settings: Settings, consumer: str, publisher: Publisher) -> None:
        """`redis` is the relay's own: its reads block, and its socket timeout must be longer than they do."""
        self._redis = redis
        self._scripts = scripts
        self._settings = settings
        self._consumer = consumer
        self._publisher = publisher
        self._streams = [shard_keys(shard).outbox for shard in range(settings.shards)]
        self._groups = one_slot_groups(redis, self._streams)
        self._held = Held(settings.relay_claim_idle_ms)
        self._stopping = False
        self._tries: set[asyncio.Task[None]] = set()
        self._try_again = False
        """Whether a route that is refused takes more: what is held of it need not wait for its turn."""

    async def run(self) -> None:
        """Relay until `stop`; every failure ends in another try, after a pause that grows."""
        backoff = reconnect_backoff()
        while not self._stopping:
            started = perf_counter()
            try:
                with only_own_cancellation():
                    await self._session()
            except Exception as error:
                # The broad catch is the edge: whatever the broker or Redis did, the entries are still in the outbox.
                log.warning("relay.interrupted", extra={"consumer": self._consumer, "reason": describe_error(server_of(error), error)})
                await asyncio.sleep(backoff.pause_seconds(perf_counter() - started))

    def stop(self) -> None:
        self._stopping = True

    async def leave(self) -> None:
        """Take the consumer out of the groups where it holds nothing; what it holds elsewhere will be claimed."""
        for stream in self._streams:
            with suppress(RedisError, OSError):
                held = await self._redis.xpending_range(stream, GROUP, "-", "+", 1, consumername=self._consumer)
                if not held:
                    await self._redis.xgroup_delconsumer(stream, GROUP, self._consumer)

    async def _session(self) -> None:
        timeout_seconds = self._settings.relay_publish_timeout_seconds
        async with broker_session(aio_pika.connect, self._settings.amqp_url, timeout_seconds) as connection:
            try:
                async with within(timeout_seconds, "opening the session"):
                    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
                    exchange = await channel.get_exchange(topology.EVENTS_EXCHANGE, ensure=True)
                    await _declared(channel, self._settings.payment_windows)
                    await _try_unrouted(exchange, timeout_seconds)
                self._publisher.open(channel, exchange)
                metrics.BROKER_UP.set(1)
                log.info("relay.connected", extra={"consumer": self._consumer})
                await self._pump(channel)
            finally:
                self._publisher.close()
                metrics.BROKER_UP.set(0)

    async def _pump(self, channel: AbstractChannel) -> None:
        if len(self._groups) == 1:
            await self._create_groups(self._streams)
            await self._pump_streams(channel, self._streams)
        else:
            await _side_by_side([self._pump_apart(channel, streams) for streams in self._groups])

    async def _pump_apart(self, channel: AbstractChannel, streams: Sequence[str]) -> None:
        """As `_pump_streams`, over what fails at this master of a cluster alone: what the others hold goes on."""
        backoff = reconnect_backoff()
        while not self._stopping:
            try:
                await self._create_groups(streams)
                backoff.reset()
                await self._pump_streams(channel, streams)
            except RedisError as error:
                log.warning("relay.interrupted", extra={"streams": len(streams), "reason": describe_error(Server.REDIS, error)})
                _refuse_closed(channel)
                await asyncio.sleep(backoff.pause_seconds(0))

    async def _pump_streams(self, channel: AbstractChannel, streams: Sequence[str]) -> None:
        new, held, claim_at, prune_at = dict.fromkeys(streams, ">"), dict.fromkeys(streams, "0"), 0.0, 0.0
        while not self._stopping:
            if perf_counter() >= prune_at:
                await self._prune_consumers(streams)
                prune_at = perf_counter() + PRUNE_EVERY_SECONDS
            if perf_counter() >= claim_at or self._try_again:
                self._try_again = False
                held = await self._publish_held(held)
                await self._publish_all(await self._claim(streams))
                claim_at = perf_counter() + CLAIM_EVERY_SECONDS
            entries = await self._read(new)
            sent = await self._publish_all(entries)
            _refuse_closed(channel)
            if entries:
                # Reading and forgetting are writes to Redis, and each is an fsync that orders wait for too: fewer, larger rounds.
                await asyncio.sleep(REFUSED_PAUSE_SECONDS if sent.failed else self._settings.relay_linger_ms / 1000)

    async def _publish_held(self, after: Mapping[str, str]) -> dict[str, str]:
        """Publish what this consumer has read already: before it lost the broker, or refused by the broker since. Returns where to go on.

        Page by page, so that what is refused for long hides nothing that is behind it.
        """
        further, latest, refused, waiting = dict(after), dict(after), 0, 0
        for _ in range(HELD_PAGES_MAX):
            entries = await self._read(further)
            latest |= dict.fromkeys(further, "0")
            further = {entry.stream: entry.entry_id for entry in entries}
            latest |= further
            sent = await self._publish_all(entries)
            refused += len(entries) - sent.confirmed
            waiting = 0 if sent.tried else waiting + 1
            if sent.failed or not further or waiting == WAITING_PAGES_MAX:
                break
        if refused:
            log.warning("relay.refused", extra={"entries": refused})
        return latest

    async def _create_groups(self, streams: Sequence[str]) -> None:
        for stream in streams:
            try:
                await self._redis.eval(_CREATE_GROUP, 1, stream, GROUP)
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise

    async def _read(self, after: Mapping[str, str]) -> list[Entry]:
        """Entries of each stream after an id, of those this consumer holds; or new ones, after `>`."""
        block = self._settings.relay_block_ms if ">" in after.values() else None
        streams: dict[Any, Any] = dict(after)
        found = await self._redis.xreadgroup(GROUP, self._consumer, streams, count=READ_COUNT, block=block)
        return [entry for stream, entries in _pairs(found) for entry in _entries(_text(stream), entries)]

    async def _claim(self, streams: Sequence[str]) -> list[Entry]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for stream in streams:
                pipe.xautoclaim(stream, GROUP, self._consumer, self._held.claim_idle_ms(stream), count=READ_COUNT)
                pipe.xpending_range(stream, GROUP, "-", "+", 1)
            answers = await pipe.execute()
        for stream, oldest in zip(streams, answers[1::2], strict=True):
            self._held.note(stream, _delivery(oldest, self._consumer), perf_counter())
        claimed = [entry for stream, answer in zip(streams, answers[::2], strict=True) for entry in _entries(stream, answer[1])]
        metrics.CLAIMED.inc(len(claimed))
        return claimed

    async def _prune_consumers(self, streams: Sequence[str]) -> None:
        """Forget the consumers that are gone: gateways come and go under new names."""
        for stream in streams:
            await call(self._redis, self._scripts.prune_consumers, (stream,), GROUP, str(CONSUMER_IDLE_MS_MAX), "")

    async def _publish_all(self, entries: Sequence[Entry]) -> Sent:
        """Publish, and forget what the broker confirmed. The others stay with this consumer, those of a refused route untried."""
        refusals = self._publisher.refusals
        sound = [entry for entry in entries if entry.routing_key not in refusals]
        for routing_key in {entry.routing_key for entry in entries if entry.routing_key in refusals}:
            self._try_apart(routing_key, [entry for entry in entries if entry.routing_key == routing_key])
        outcomes = await asyncio.gather(*[self._publisher.publish([entry]) for entry in sound], return_exceptions=True)
        if confirmed := [entry for entry, outcome in zip(sound, outcomes, strict=True) if not isinstance(outcome, BaseException)]:
            await forget(self._redis, confirmed, GROUP)
        return Sent(len(sound), len(confirmed))

    def _try_apart(self, routing_key: str, entries: Sequence[Entry]) -> None:
        """Try a route that is refused. Its confirm may take as long as a publish may take: what goes other ways does not wait for it."""
        for entry in entries[: self._publisher.refusals.take(routing_key, len(entries), perf_counter())]:
            task = asyncio.create_task(self._try(entry))
            self._tries.add(task)
            task.add_done_callback(self._tries.discard)

    async def _try(self, entry: Entry) -> None:
        # Whatever broker or Redis did, the entry is still held, and the publisher has counted the failure.
        with suppress(Exception):
            if await self._publisher.publish([entry]):
                self._try_again = True
            await forget(self._redis, [entry], GROUP)


async def watch(redis: Redis, handoff: DirectOutbox, settings: Settings, lag: Lag, reading: Redis | None = None) -> None:
    """Measure the lag for ever, reclaim what lies too long in a direct outbox, and have both clients leave a server that was demoted.

    While a Redis does not answer, or refuses, its last values stand, and the log says so once: its orders fail on their own then.
    """
    shards = [shard_keys(shard) for shard in range(settings.shards)]
    groups = one_slot_groups(redis, [stream for shard in shards for stream in (shard.outbox, shard.direct)])
    seen: dict[str, Backlog] = {}
    ages = Ages()
    failing: dict[str, str] = {}

    clients = [redis] if reading is None else [redis, reading]

    async def refuse(client: Redis) -> None:
        with _told(failing, f"role {clients.index(client)}"):
            await refuse_replica(client)

    async def measure(group: Sequence[str]) -> None:
        with _told(failing, group[0]):
            seen.update(await _backlogs(redis, group, ages))

    while True:
        # A sold-out sale is only read, and a demoted master would answer that for as long as it lives.
        await asyncio.gather(*[refuse(client) for client in clients])
        await asyncio.gather(*[measure(group) for group in groups])
        lag.ms = max((backlog.age_ms for backlog in seen.values()), default=0)
        metrics.OUTBOX_LAG_SECONDS.set(lag.ms / 1000)
        metrics.OUTBOX_ENTRIES.set(sum(backlog.entries for backlog in seen.values()))
        for number, shard in enumerate(shards):
            if shard.direct in seen and seen[shard.direct].age_ms > settings.relay_claim_idle_ms:
                with _told(failing, f"reclaim {number}"):
                    await handoff.reclaim(number)
        await asyncio.sleep(LAG_EVERY_SECONDS)


async def _backlogs(redis: Redis, streams: Sequence[str], ages: Ages) -> dict[str, Backlog]:
    """What each stream holds, by the clock that wrote it, or by ours where that one has been moved."""
    async with redis.pipeline(transaction=False) as pipe:
        pipe.time()
        for stream in streams:
            pipe.xlen(stream)
        (seconds, micros), *lengths = await pipe.execute()
    waiting = [stream for stream, length in zip(streams, lengths, strict=True) if length]
    async with redis.pipeline(transaction=False) as pipe:
        for stream in waiting:
            pipe.xrange(stream, count=1)
        heads = dict(zip(waiting, await pipe.execute(), strict=True))
    now_ms = seconds * 1000 + micros // 1000
    return {
        stream: Backlog(length, ages.age_ms(stream, _head(heads.get(stream)), now_ms, perf_counter()))
        for stream, length in zip(streams, lengths, strict=True)
    }


@contextmanager
def _told(failing: dict[str, str], what: str) -> Iterator[None]:
    """Pass over what Redis does not answer or refuses, and log each reason once, however many shards have it: a right may be lacking."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        reason = describe_error(Server.REDIS, error)
        if reason not in failing.values():
            log.warning("watch.failed", extra={"what": what, "reason": reason})
        failing[what] = reason
    else:
        if failing.pop(what, None) is not None and not failing:
            log.info("watch.recovered")


async def _declared(channel: AbstractChannel, windows: Sequence[int]) -> None:
    """Raise, naming the queue, when the broker lacks a part of the topology."""
    for queue in topology.queues(windows):
        await channel.declare_queue(queue, passive=True)


async def _try_unrouted(exchange: AbstractExchange, timeout_seconds: float) -> None:
    """Say so when the broker hands back what it cannot route: its policy `events` is missing. Orders are safe in the outbox all the same.

    The probe lives for a millisecond; with the policy it goes to `unrouted`, and is gone there.
    """
    try:
        await exchange.publish(aio_pika.Message(b"", expiration=PROBE_LIFE), "probe", mandatory=True, timeout=timeout_seconds)
        metrics.UNROUTED_KEPT.set(1)
    except PublishError:
        metrics.UNROUTED_KEPT.set(0)
        reason = f"RabbitMQ: the policy `events` (alternate-exchange {topology.UNROUTED_EXCHANGE}) is missing; {topology.CURE}"
        log.error("relay.policy_missing", extra={"reason": reason})


async def _side_by_side(pumps: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Until all are done, or one fails: then the others are ended."""
    tasks = [asyncio.create_task(pump) for pump in pumps]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await cancel_and_wait(*tasks)
    for task in done:
        task.result()


def _refuse_closed(channel: AbstractChannel) -> None:
    if channel.is_closed:
        raise ConnectionError("the broker closed the channel")


def _head(found: Any) -> Head | None:
    if not found:
        return None
    entry_id, fields = found[0]
    return Head(_text(entry_id), int(fields.get(b"t") or _text(entry_id).split("-")[0]))


def _delivery(oldest: Sequence[Mapping[str, Any]], own: str) -> str | None:
    """A name for the delivery of the oldest entry that a consumer other than `own` holds."""
    if not oldest or _text(oldest[0]["consumer"]) == own:
        return None
    return " ".join(_text(oldest[0][part]) for part in ("message_id", "consumer")) + f" {oldest[0]['times_delivered']}"


def _pairs(found: Any) -> Iterable[tuple[Any, Any]]:
    # RESP3 answers a map of one-element lists, RESP2 a list of pairs.
    if isinstance(found, dict):
        return [(stream, [entry for page in pages for entry in page]) for stream, pages in found.items()]
    return [(stream, entries) for stream, entries in found or ()]


def _entries(stream: str, raw: Any) -> list[Entry]:
    # A claimed or re-read entry that is already deleted comes without fields.
    return [Entry(stream, _text(entry_id), _text(fields[b"k"]), fields[b"b"]) for entry_id, fields in raw if fields]


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
