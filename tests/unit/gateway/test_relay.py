"""The relay: what it confirms, what it keeps, and how it pages through entries that it holds."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import pytest
from aio_pika.abc import AbstractChannel
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from flashsale_core import backoff
from flashsale_core.records import Entry
from flashsale_core.scripts import Scripts
from flashsale_core.settings import Environment
from flashsale_gateway.outbox import relay
from flashsale_gateway.outbox.group_consumer import HELD, NEW, GroupConsumer
from flashsale_gateway.outbox.publisher import Publisher
from flashsale_gateway.outbox.refused_routes import RefusedRoutes
from flashsale_gateway.outbox.relay import HELD_PAGES_MAX, REFUSED_PAGES_MAX, Relay
from flashsale_gateway.settings import read_settings

STREAM, OTHER_STREAM, PAGE = "fs:{0}:outbox", "fs:{1}:outbox", 4
BAD, GOOD = "order.reserved.60", "payment.recorded"


class MemoryConsumer(GroupConsumer):
    """Entries of one stream in memory, read in pages of PAGE; an entry is held from its first read until it is confirmed."""

    def __init__(self, *_: Any) -> None:
        self.name = "test"
        self.entries: list[Entry] = []
        self.held: list[Entry] = []
        self.claimable: list[Entry] = []
        self.pages = 0
        self.failures: dict[str, int] = {}
        """How often the creation of a stream's group fails."""

    async def create_groups(self, streams: Sequence[str]) -> None:
        (stream,) = streams
        if self.failures.get(stream):
            self.failures[stream] -= 1
            raise RedisConnectionError("away")

    async def read(self, after: Mapping[str, str]) -> list[Entry]:
        self.pages += 1
        if STREAM not in after:
            await asyncio.sleep(0)
            return []
        if after[STREAM] != NEW:
            return [entry for entry in self.held if int(entry.entry_id) > int(after[STREAM])][:PAGE]
        read, self.entries = self.entries[:PAGE], self.entries[PAGE:]
        self.held += read
        return read

    async def claim(self, streams: Sequence[str]) -> list[Entry]:
        if STREAM not in streams:
            return []
        claimed, self.claimable = self.claimable, []
        self.held += claimed
        return claimed

    async def confirm(self, entries: Sequence[Entry]) -> None:
        self.held = [entry for entry in self.held if entry not in entries]

    async def prune(self, streams: Sequence[str]) -> None:
        pass


class Broker(Publisher):
    """Confirms every entry, unless it is away or the entry's route is full."""

    def __init__(self) -> None:
        self.refused_routes = RefusedRoutes()
        self.published: list[str] = []
        self.away = False
        self.full: set[str] = set()

    async def publish(self, entries: Sequence[Entry]) -> bool:
        if self.away:
            raise ConnectionError
        (entry,) = entries
        if entry.routing_key in self.full:
            self.refused_routes.refuse(entry.routing_key, 1, perf_counter())
            raise TimeoutError
        self.published.append(entry.entry_id)
        return self.refused_routes.confirm(entry.routing_key, 1)


class ClosedChannel:
    is_closed = True


class Channel:
    """Open until `rounds` rounds have passed."""

    def __init__(self, worker: Relay, rounds: int) -> None:
        self._worker = worker
        self._rounds = rounds

    @property
    def is_closed(self) -> bool:
        self._rounds -= 1
        if self._rounds == 0:
            self._worker.stop()
        return False


class Site:
    def __init__(self, folder: Path) -> None:
        variables = {
            "REDIS_URL": "redis://r", "AMQP_URL": "amqp://a", "FLASHSALE_LUA_DIR": str(folder), "FLASHSALE_ORDER_ID_KEY": "k" * 32,
            "FLASHSALE_ADMIN_TOKEN": "t" * 16, "FLASHSALE_IDENTITY": "body",
            "FLASHSALE_WEBHOOK_SECRET": "whsec_" + "QUFB" * 8, "FLASHSALE_RELAY_LINGER_MS": "0",
            "FLASHSALE_SHARDS": "1",
        }  # fmt: skip
        self.broker = Broker()
        settings = read_settings(Environment(variables))
        self.relay = Relay(cast("Redis", None), cast("Scripts", None), settings, "test", self.broker)
        consumer = self.relay._consumer
        assert isinstance(consumer, MemoryConsumer)
        self.consumer = consumer

    async def run(self, rounds: int) -> None:
        await self.relay._pump(cast("AbstractChannel", Channel(self.relay, rounds)))

    @property
    def held(self) -> list[str]:
        return [entry.entry_id for entry in self.consumer.held]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(relay, "GroupConsumer", MemoryConsumer)
    monkeypatch.setattr(relay, "one_slot_groups", lambda _, streams: [list(streams)])
    monkeypatch.setattr(relay, "REFUSED_PAUSE_SECONDS", 0)
    return Site(tmp_path)


def entries(first: int, count: int, routing_key: str = GOOD) -> list[Entry]:
    return [Entry(STREAM, str(number), routing_key, b"{}") for number in range(first, first + count)]


async def test_new_entries_are_published_in_order_and_confirmed(site: Site) -> None:
    site.consumer.entries = entries(1, 10)
    await site.run(rounds=3)
    assert (site.broker.published, site.held) == ([str(number) for number in range(1, 11)], [])


async def test_unconfirmed_entries_stay_held_and_are_published_later(site: Site) -> None:
    site.consumer.entries, site.broker.away = entries(1, 3), True
    await site.run(rounds=1)
    assert (site.broker.published, site.held) == ([], ["1", "2", "3"])
    site.broker.away = False
    await site.relay._publish_held({STREAM: HELD})
    assert (site.broker.published, site.held) == (["1", "2", "3"], [])


async def test_entries_of_a_dead_gateway_are_claimed_and_published(site: Site) -> None:
    site.consumer.claimable = entries(1, 3)
    await site.run(rounds=1)
    assert (site.broker.published, site.held) == (["1", "2", "3"], [])


async def test_refused_route_holds_up_no_other(site: Site) -> None:
    site.broker.full.add(BAD)
    site.consumer.entries = [*entries(1, 4, BAD), *entries(5, 4), *entries(9, 4, BAD), *entries(13, 2)]
    await site.run(rounds=4)
    assert site.broker.published == ["5", "6", "7", "8", "13", "14"]
    assert site.held == [str(number) for number in (1, 2, 3, 4, 9, 10, 11, 12)]


async def test_held_entries_are_read_in_bounded_pages_while_a_route_is_refused(site: Site) -> None:
    site.broker.refused_routes.refuse(BAD, 1, perf_counter() + 3600)
    site.consumer.held = entries(1, PAGE * REFUSED_PAGES_MAX * 2, BAD)
    after = await site.relay._publish_held({STREAM: HELD})
    assert (site.consumer.pages, after) == (REFUSED_PAGES_MAX, {STREAM: str(PAGE * REFUSED_PAGES_MAX)})
    site.consumer.held += entries(1000, 1)
    after = await site.relay._publish_held(after)
    after = await site.relay._publish_held(after)
    assert (site.broker.published, after) == (["1000"], {STREAM: HELD})


async def test_paging_stops_when_the_broker_confirms_nothing(site: Site) -> None:
    site.consumer.held, site.broker.away = entries(1, PAGE * HELD_PAGES_MAX), True
    after = await site.relay._publish_held({STREAM: HELD})
    assert (site.consumer.pages, after) == (1, {STREAM: str(PAGE)})


async def test_route_that_recovers_gets_its_held_entries_before_the_next_claim(site: Site) -> None:
    site.broker.refused_routes.refuse(BAD, 1, perf_counter() - 3600)
    site.consumer.held = entries(1, 7, BAD)
    site.consumer.entries = entries(100, 20 * PAGE)
    await site.run(rounds=20)
    assert [number for number in site.broker.published if int(number) < 100] == [str(number) for number in range(1, 8)]
    assert site.held == []


async def test_closed_channel_ends_the_pump(site: Site) -> None:
    with pytest.raises(ConnectionError, match="the broker closed the channel"):
        await site.relay._pump(cast("AbstractChannel", ClosedChannel()))


async def test_one_master_that_fails_is_retried_while_the_other_relays(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backoff, "RECONNECT_PAUSES_SECONDS", (0.0,))
    site.relay._groups = [[STREAM], [OTHER_STREAM]]
    site.consumer.failures[OTHER_STREAM] = 3
    site.consumer.entries = entries(1, 10 * PAGE)
    await site.run(rounds=60)
    assert site.broker.published[: 10 * PAGE] == [str(number) for number in range(1, 10 * PAGE + 1)]
    assert [record.message for record in caplog.records] == ["relay.interrupted"] * 3


async def test_session_that_fails_is_logged_and_followed_by_another(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backoff, "RECONNECT_PAUSES_SECONDS", (0.0,))
    sessions = 0

    async def session(worker: Relay) -> None:
        nonlocal sessions
        sessions += 1
        if sessions < 3:
            raise ConnectionError("refused")
        worker.stop()

    monkeypatch.setattr(Relay, "_session", session)
    await site.relay.run()
    assert (sessions, [record.message for record in caplog.records]) == (3, ["relay.interrupted"] * 2)


async def test_pump_that_fails_cancels_the_others_and_its_error_is_raised() -> None:
    ended: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("endless")

    async def failing() -> None:
        await asyncio.sleep(0)
        raise ValueError("not foreseen")

    with pytest.raises(ValueError, match="not foreseen"):
        await relay._run_until_one_fails([endless(), failing()])
    assert ended == ["endless"]
