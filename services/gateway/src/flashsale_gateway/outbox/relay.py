"""The relay: it publishes entries of the shared outbox to RabbitMQ, and deletes each only after the broker's confirm.

One consumer per gateway, in one group per shard. An entry is published, confirmed, then acknowledged and deleted: after a crash in
between it is published again, and its readers are idempotent. The relay also keeps the connection to the broker that the direct outbox
uses.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel
from redis.asyncio import Redis
from redis.exceptions import RedisError

from flashsale_core import topology
from flashsale_core.backoff import reconnect_backoff
from flashsale_core.broker import broker_session
from flashsale_core.faults import Server, describe_error
from flashsale_core.keys import shard_keys
from flashsale_core.records import Entry
from flashsale_core.scripts import Scripts
from flashsale_core.tasks import cancel_and_wait, only_own_cancellation, within
from flashsale_gateway import metrics
from flashsale_gateway.outbox.confirmed_channel import confirmed_channel
from flashsale_gateway.outbox.group_consumer import HELD, NEW, GroupConsumer
from flashsale_gateway.outbox.publisher import Publisher
from flashsale_gateway.outbox.topology_check import report_unrouted_policy, require_queues
from flashsale_gateway.settings import Settings
from flashsale_redis import one_slot_groups, server_of

HELD_PAGES_MAX = 64
REFUSED_PAGES_MAX = 8
"""Pages in a row with entries of refused routes only: more of them in one round would hold up new entries."""
REFUSED_PAUSE_SECONDS = 1.0
CLAIM_EVERY_SECONDS = 5.0
PRUNE_EVERY_SECONDS = 300.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Published:
    """How many entries were published to routes that are not refused, and how many of these were confirmed."""

    tried: int
    confirmed: int

    @property
    def failed(self) -> bool:
        """Whether none of them was confirmed: the broker as a whole may be at fault."""
        return self.tried > 0 and self.confirmed == 0


class Relay:
    def __init__(self, redis: Redis, scripts: Scripts, settings: Settings, consumer: str, publisher: Publisher) -> None:
        """`redis` is the relay's own: its reads block, and its socket timeout must be longer than they do."""
        self._settings = settings
        self._consumer = GroupConsumer(redis, scripts, consumer, settings.relay_block_ms, settings.relay_claim_idle_ms)
        self._publisher = publisher
        self._streams = [shard_keys(shard).outbox for shard in range(settings.shards)]
        self._groups = one_slot_groups(redis, self._streams)
        self._stopping = False
        self._probes: set[asyncio.Task[None]] = set()
        self._route_recovers = False
        """Whether a refused route takes more: then its held entries need not wait for the next claim."""

    async def run(self) -> None:
        """Relay until `stop`; every failure is followed by another try, after a pause that grows."""
        backoff = reconnect_backoff()
        while not self._stopping:
            started = perf_counter()
            try:
                with only_own_cancellation():
                    await self._session()
            except Exception as error:
                # Broad on purpose: whatever the broker or Redis did, the entries are still in the outbox.
                reason = describe_error(server_of(error), error)
                log.warning("relay.interrupted", extra={"consumer": self._consumer.name, "reason": reason})
                await asyncio.sleep(backoff.pause_seconds(perf_counter() - started))

    def stop(self) -> None:
        self._stopping = True

    async def leave(self) -> None:
        """Delete the consumer from the groups where it holds nothing; what it holds elsewhere will be claimed."""
        await self._consumer.leave(self._streams)

    async def _session(self) -> None:
        timeout_seconds = self._settings.relay_publish_timeout_seconds
        async with broker_session(aio_pika.connect, self._settings.amqp_url, timeout_seconds) as connection:
            try:
                async with within(timeout_seconds, "opening the session"):
                    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
                    exchange = await channel.get_exchange(topology.EVENTS_EXCHANGE, ensure=True)
                    await require_queues(channel, self._settings.payment_windows)
                    await report_unrouted_policy(exchange, timeout_seconds)
                    own = await confirmed_channel(channel, exchange.name)
                self._publisher.open(own)
                metrics.BROKER_UP.set(1)
                log.info("relay.connected", extra={"consumer": self._consumer.name})
                await self._pump(channel)
            finally:
                self._publisher.close()
                metrics.BROKER_UP.set(0)

    async def _pump(self, channel: AbstractChannel) -> None:
        if len(self._groups) == 1:
            await self._consumer.create_groups(self._streams)
            await self._pump_streams(channel, self._streams)
        else:
            await _run_until_one_fails([self._pump_slot_group(channel, streams) for streams in self._groups])

    async def _pump_slot_group(self, channel: AbstractChannel, streams: Sequence[str]) -> None:
        """As `_pump_streams`, but a failure of this master of a cluster is retried here, so the other masters' entries go out."""
        backoff = reconnect_backoff()
        while not self._stopping:
            try:
                await self._consumer.create_groups(streams)
                backoff.reset()
                await self._pump_streams(channel, streams)
            except RedisError as error:
                log.warning("relay.interrupted", extra={"streams": len(streams), "reason": describe_error(Server.REDIS, error)})
                _require_open(channel)
                await asyncio.sleep(backoff.pause_seconds(0))

    async def _pump_streams(self, channel: AbstractChannel, streams: Sequence[str]) -> None:
        new, held, claim_at, prune_at = dict.fromkeys(streams, NEW), dict.fromkeys(streams, HELD), 0.0, 0.0
        while not self._stopping:
            if perf_counter() >= prune_at:
                await self._consumer.prune(streams)
                prune_at = perf_counter() + PRUNE_EVERY_SECONDS
            if perf_counter() >= claim_at or self._route_recovers:
                self._route_recovers = False
                held = await self._publish_held(held)
                await self._publish_all(await self._consumer.claim(streams))
                claim_at = perf_counter() + CLAIM_EVERY_SECONDS
            entries = await self._consumer.read(new)
            published = await self._publish_all(entries)
            _require_open(channel)
            if entries:
                # Reads and deletions are writes to Redis, and orders wait for the fsync of each: fewer, larger rounds.
                await asyncio.sleep(REFUSED_PAUSE_SECONDS if published.failed else self._settings.relay_linger_ms / 1000)

    async def _publish_held(self, after: Mapping[str, str]) -> dict[str, str]:
        """Publish what this consumer read before it lost the broker, or what the broker has refused since. Returns where to continue.

        Page by page, so that entries refused for long do not hide those behind them.
        """
        page, next_ids, unconfirmed, refused_pages = dict(after), dict(after), 0, 0
        for _ in range(HELD_PAGES_MAX):
            entries = await self._consumer.read(page)
            next_ids |= dict.fromkeys(page, HELD)
            page = {entry.stream: entry.entry_id for entry in entries}
            next_ids |= page
            published = await self._publish_all(entries)
            unconfirmed += len(entries) - published.confirmed
            refused_pages = 0 if published.tried else refused_pages + 1
            if published.failed or not page or refused_pages == REFUSED_PAGES_MAX:
                break
        if unconfirmed:
            log.warning("relay.refused", extra={"entries": unconfirmed})
        return next_ids

    async def _publish_all(self, entries: Sequence[Entry]) -> Published:
        """Publish, and delete what the broker confirmed. The others stay with this consumer, those of a refused route mostly untried."""
        refused = self._publisher.refused_routes
        sound = [entry for entry in entries if entry.routing_key not in refused]
        for routing_key in {entry.routing_key for entry in entries if entry.routing_key in refused}:
            self._probe_route(routing_key, [entry for entry in entries if entry.routing_key == routing_key])
        outcomes = await asyncio.gather(*[self._publisher.publish([entry]) for entry in sound], return_exceptions=True)
        if confirmed := [entry for entry, outcome in zip(sound, outcomes, strict=True) if not isinstance(outcome, BaseException)]:
            await self._consumer.confirm(confirmed)
        return Published(len(sound), len(confirmed))

    def _probe_route(self, routing_key: str, entries: Sequence[Entry]) -> None:
        """Try a refused route in the background: its confirm may take the whole timeout, and other routes do not wait for it."""
        for entry in entries[: self._publisher.refused_routes.allow(routing_key, len(entries), perf_counter())]:
            task = asyncio.create_task(self._probe(entry))
            self._probes.add(task)
            task.add_done_callback(self._probes.discard)

    async def _probe(self, entry: Entry) -> None:
        # Whatever the broker or Redis did, this consumer still holds the entry, and the publisher has counted the failure.
        with suppress(Exception):
            if await self._publisher.publish([entry]):
                self._route_recovers = True
            await self._consumer.confirm([entry])


async def _run_until_one_fails(pumps: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run all until they are done, or until one fails: then cancel the others, and raise what it raised."""
    tasks = [asyncio.create_task(pump) for pump in pumps]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await cancel_and_wait(*tasks)
    for task in done:
        task.result()


def _require_open(channel: AbstractChannel) -> None:
    if channel.is_closed:
        raise ConnectionError("the broker closed the channel")
