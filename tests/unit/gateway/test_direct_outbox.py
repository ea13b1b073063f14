"""The direct outbox: what it publishes together, what it retries, what it deletes, and what it leaves at its end."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError

from flashsale_core.fence import KnownPositions
from flashsale_core.keys import shard_keys
from flashsale_core.records import Entry
from flashsale_core.scripts import Scripts
from flashsale_core.settings import Environment
from flashsale_gateway.outbox.direct import MESSAGE_BYTES_MAX, MESSAGE_ENTRIES_MAX, DirectOutbox, in_messages
from flashsale_gateway.outbox.publisher import Publisher
from flashsale_gateway.outbox.refused_routes import PAUSES_SECONDS, RefusedRoutes
from flashsale_gateway.settings import read_settings
from tests import waiting

until = partial(waiting.until, timeout_seconds=5)

STREAM = shard_keys(3).direct
FINISH_SECONDS = 0.5


class Broker(Publisher):
    """Confirms what it gets, unless it is away."""

    def __init__(self) -> None:
        self.messages: list[list[str]] = []
        self.away = False
        self.silent = False
        self.full: set[str] = set()
        """Routing keys that it refuses. `messages` still gets a copy, as the queues that are not full do."""
        self.refused_routes = RefusedRoutes()
        self.ready_reads = 0
        """How often `ready` was read, as every round of cleaning up does."""

    @property
    def ready(self) -> bool:
        self.ready_reads += 1
        return not self.away

    async def publish(self, entries: Sequence[Entry]) -> bool:
        await asyncio.sleep(0)
        if self.away:
            raise ConnectionError
        if self.silent:
            await asyncio.sleep(3600)
        self.messages.append([entry.entry_id for entry in entries])
        routing_key = entries[0].routing_key
        if routing_key in self.full:
            self.refused_routes.refuse(routing_key, len(entries), perf_counter())
            raise ConnectionError
        return self.refused_routes.confirm(routing_key, len(entries))


class Streams:
    """The part of Redis that deletions need."""

    def __init__(self) -> None:
        self.deleted: list[str] = []
        self.added: list[str] = []
        self.away = False
        self.full = False
        self._asked: list[str] = []
        self._added: list[str] = []

    def pipeline(self, *, transaction: bool) -> "Streams":
        assert not transaction
        self._asked, self._added = [], []
        return self

    async def __aenter__(self) -> "Streams":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def xdel(self, stream: str, *ids: str) -> None:
        self._asked += [f"{stream} {entry_id}" for entry_id in ids]

    def xadd(self, stream: str, fields: dict[str, bytes]) -> None:
        self._added += [f"{stream} {fields['k']!r} {fields['b']!r}"]

    async def execute(self) -> None:
        if self.away:
            raise RedisConnectionError
        if self.full and self._added:
            raise OutOfMemoryError
        self.deleted += self._asked
        self.added += self._added


class Site:
    def __init__(self, folder: Path) -> None:
        variables = {
            "REDIS_URL": "redis://r", "AMQP_URL": "amqp://a", "FLASHSALE_LUA_DIR": str(folder), "FLASHSALE_ORDER_ID_KEY": "k" * 32,
            "FLASHSALE_ADMIN_TOKEN": "t" * 16, "FLASHSALE_IDENTITY": "body",
            "FLASHSALE_WEBHOOK_SECRET": "whsec_" + "QUFB" * 8, "FLASHSALE_RELAY_LINGER_MS": "5",
            "FLASHSALE_CONFIRM_TIMEOUT_SECONDS": "0.5", "FLASHSALE_RELAY_FORGET_MS": "1", "FLASHSALE_RELAY_PUBLISH_TIMEOUT_SECONDS": "1",
        }  # fmt: skip
        self.broker, self.streams = Broker(), Streams()
        self.settings = read_settings(Environment(variables))
        known = KnownPositions(self.settings.shards)
        self.outbox = DirectOutbox(cast("Redis", self.streams), cast("Scripts", None), self.broker, self.settings, known)

    def linger(self, ms: int) -> None:
        self.outbox._settings = replace(self.settings, relay_linger_ms=ms)


def entry(entry_id: str, body: bytes = b"{}", key: str = "order.reserved.60") -> Entry:
    return Entry(STREAM, entry_id, key, body)


def is_deleted(site: Site, entry_id: str) -> bool:
    return f"{STREAM} {entry_id}" in site.streams.deleted


async def play(tmp_path: Path, scene: Callable[[Site], Awaitable[Any]]) -> Site:
    site = Site(tmp_path)
    cleaning = asyncio.create_task(site.outbox.run())
    await scene(site)
    cleaning.cancel()
    return site


async def test_entries_of_one_key_share_a_message_and_are_deleted(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        for sent in (entry("1"), entry("2", key="payment.recorded"), entry("3")):
            site.outbox.send(sent)
        await until(lambda: len(site.streams.deleted) == 3)

    site = await play(tmp_path, scene)
    assert site.broker.messages == [["1", "3"], ["2"]]
    assert sorted(site.streams.deleted) == [f"{STREAM} {number}" for number in "123"]


async def test_idle_outbox_does_not_wake_and_deletes_the_next_entry(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        site.outbox.send(entry("1"))
        await until(lambda: site.streams.deleted)
        await asyncio.sleep(0.02)
        before = site.broker.ready_reads
        await asyncio.sleep(0.05)
        assert site.broker.ready_reads == before
        site.outbox.send(entry("2"))
        await until(lambda: len(site.streams.deleted) == 2)

    assert (await play(tmp_path, scene)).broker.messages == [["1"], ["2"]]


async def test_failed_entry_is_published_once_the_broker_is_back(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        site.broker.away = True
        site.outbox.send(entry("1"))
        await asyncio.sleep(0.02)
        assert site.broker.messages == []
        site.broker.away = False
        await until(lambda: site.streams.deleted)

    assert (await play(tmp_path, scene)).broker.messages == [["1"]]


async def test_refused_route_gets_one_entry_at_a_time_and_delays_no_other(tmp_path: Path) -> None:
    bad, good = [f"bad {number}" for number in range(300)], [f"good {number}" for number in range(50)]

    async def scene(site: Site) -> None:
        site.broker.full.add("order.reserved.60")
        for name in bad:
            site.outbox.send(entry(name))
        for number, name in enumerate(good):
            site.outbox.send(entry(name, key="payment.recorded"))
            site.outbox.send(entry(f"later {number}"))
            await until(partial(is_deleted, site, name))
        copies = [name for message in site.broker.messages for name in message if name not in good]
        assert copies[: len(bad)] == bad
        assert len(copies) <= len(bad) + len(PAUSES_SECONDS) + 10
        site.broker.full.clear()
        await until(lambda: len(site.streams.deleted) == len(bad) + 2 * len(good))

    await play(tmp_path, scene)


async def test_entry_confirmed_while_redis_is_away_is_deleted_later(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        site.streams.away = True
        site.outbox.send(entry("1"))
        await until(lambda: site.broker.messages)
        await asyncio.sleep(0.02)
        site.streams.away = False
        await until(lambda: site.streams.deleted)

    site = await play(tmp_path, scene)
    assert (site.broker.messages, site.streams.deleted) == ([["1"]], [f"{STREAM} 1"])


async def test_entry_somebody_waits_for_is_sent_without_a_pause_with_those_of_its_key(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        site.outbox.send(entry("1", key="payment.recorded"))
        await until(lambda: site.broker.messages)
        # The pause has begun, and is longer than this test.
        site.linger(ms=60_000)
        site.outbox.send(entry("2"))
        site.outbox.send(entry("3", key="payment.recorded"))
        confirms = [site.outbox.confirm(entry(name, key="payment.recorded"), monotonic()) for name in ("4", "5")]
        assert await asyncio.gather(*confirms) == [True, True]
        assert site.broker.messages == [["1"], ["3", "4", "5"]]
        await until(lambda: len(site.streams.deleted) == 4)

    await play(tmp_path, scene)


async def test_confirm_comes_although_the_first_try_failed(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        site.broker.away = True
        confirm = site.outbox.confirm(entry("1"), monotonic())
        await asyncio.sleep(0.02)
        assert not confirm.done()
        site.broker.away = False
        assert await confirm

    assert (await play(tmp_path, scene)).broker.messages == [["1"]]


async def test_confirm_on_a_route_that_was_refused_comes_with_a_later_try(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        site.broker.full.add("order.reserved.60")
        site.outbox.send(entry("1"))
        await until(lambda: site.broker.messages)
        site.broker.full.clear()
        assert await site.outbox.confirm(entry("2"), monotonic())

    await play(tmp_path, scene)


@pytest.mark.parametrize("fault", ["away", "silent"])
async def test_confirm_that_does_not_come_in_time_is_false_and_the_entry_stays(tmp_path: Path, fault: str) -> None:
    async def scene(site: Site) -> None:
        setattr(site.broker, fault, True)
        assert not await site.outbox.confirm(entry("1"), monotonic())

    assert (await play(tmp_path, scene)).streams.deleted == []


async def test_confirm_is_false_when_the_gateway_ends_first(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        site.broker.away = True
        confirm = site.outbox.confirm(entry("1", b"one"), monotonic())
        await site.outbox.finish(FINISH_SECONDS)
        assert not await confirm

    assert (await play(tmp_path, scene)).streams.added == [f"{shard_keys(3).outbox} 'order.reserved.60' b'one'"]


async def test_finish_waits_for_messages_in_flight(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        site.outbox.send(entry("1"))
        await site.outbox.finish(FINISH_SECONDS)

    site = await play(tmp_path, scene)
    assert (site.broker.messages, site.streams.deleted) == ([["1"]], [f"{STREAM} 1"])


async def test_finish_moves_failed_entries_to_the_shared_outbox(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        site.outbox.send(entry("1"))
        await until(lambda: site.streams.deleted)
        site.broker.away = True
        site.outbox.send(entry("2", b"two"))
        await site.outbox.finish(FINISH_SECONDS)

    site = await play(tmp_path, scene)
    assert site.streams.added == [f"{shard_keys(3).outbox} 'order.reserved.60' b'two'"]
    assert site.streams.deleted == [f"{STREAM} 1", f"{STREAM} 2"]


async def test_finish_moves_unconfirmed_entries_to_the_shared_outbox(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        site.broker.silent = True
        site.outbox.send(entry("1", b"one"))
        await site.outbox.finish(FINISH_SECONDS)

    assert (await play(tmp_path, scene)).streams.added == [f"{shard_keys(3).outbox} 'order.reserved.60' b'one'"]


@pytest.mark.parametrize("fault", ["away", "full"])
async def test_entry_that_redis_refuses_at_the_end_stays_in_its_stream(tmp_path: Path, fault: str) -> None:
    async def scene(site: Site) -> None:
        site.broker.away = True
        setattr(site.streams, fault, True)
        site.outbox.send(entry("1"))
        await site.outbox.finish(FINISH_SECONDS)

    site = await play(tmp_path, scene)
    assert (site.streams.added, site.streams.deleted) == ([], [])


def test_outbox_is_not_ready_without_a_broker(tmp_path: Path) -> None:
    site = Site(tmp_path)
    assert site.outbox.ready
    site.broker.away = True
    assert not site.outbox.ready


@pytest.mark.parametrize(
    ("sizes", "messages"),
    [
        ([], []),
        ([1], [1]),
        ([1] * (MESSAGE_ENTRIES_MAX + 1), [MESSAGE_ENTRIES_MAX, 1]),
        ([MESSAGE_BYTES_MAX - 1, 1, 1], [2, 1]),
        # A large entry is sent alone: it is the work of one script call, and cannot be cut.
        ([1, MESSAGE_BYTES_MAX + 1, 1], [1, 1, 1]),
    ],
)
def test_messages_are_limited_in_entries_and_bytes(sizes: list[int], messages: list[int]) -> None:
    entries = [entry(str(number), b"x" * size) for number, size in enumerate(sizes)]
    cut = list(in_messages(entries))
    assert [len(message) for message in cut] == messages
    assert [part for message in cut for part in message] == entries
