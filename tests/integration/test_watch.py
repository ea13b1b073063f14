"""The watch over the outboxes: a Redis user without a right, and entries that a gateway left there."""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from flashsale_core.fence import KnownPositions
from flashsale_core.keys import shard_keys
from flashsale_core.records import Entry
from flashsale_core.scripts import Scripts, read_scripts
from flashsale_core.settings import Environment
from flashsale_core.tasks import cancel_and_wait
from flashsale_gateway.outbox import monitor
from flashsale_gateway.outbox.direct import DirectOutbox
from flashsale_gateway.outbox.monitor import Lag, Monitor
from flashsale_gateway.outbox.publisher import Publisher
from flashsale_gateway.outbox.refused_routes import RefusedRoutes
from flashsale_gateway.settings import Settings, read_settings
from flashsale_redis import open_redis
from tests.fences import empty
from tests.integration.stores import on_all_masters, redis_client
from tests.waiting import until


@pytest.fixture
def server(infra: Mapping[str, str]) -> Iterator[Any]:
    with redis_client(infra["REDIS_URL"]) as client:
        empty(client)
        yield client
        client.acl_deluser("narrow", **on_all_masters(client))


async def test_missing_right_is_logged_once_and_again_on_recovery(
    infra: Mapping[str, str], server: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "MEASURE_EVERY_SECONDS", 0.01)
    server.acl_setuser(
        "narrow", enabled=True, passwords=["+secret"], keys=["*"], categories=["+@all"], commands=["-xlen"], **on_all_masters(server)
    )
    settings = settings_of(infra)
    url = urlsplit(infra["REDIS_URL"])
    login = url._replace(netloc=f"narrow:secret@{url.netloc.rpartition('@')[2]}").geturl()
    with caplog.at_level(logging.INFO, "flashsale_gateway.outbox.monitor"):
        async with open_redis(login, 5, 4) as client:
            watching = asyncio.create_task(Monitor([client], cast("DirectOutbox", None), settings, Lag(1000)).run())
            await until(lambda: caplog.records)
            await asyncio.sleep(0.1)
            server.acl_setuser("narrow", enabled=True, commands=["+xlen"], **on_all_masters(server))
            await until(lambda: len(caplog.records) > 1)
            await cancel_and_wait(watching)
    assert [record.message for record in caplog.records] == ["watch.failed", "watch.recovered"]
    assert "(the user of REDIS_URL lacks a right)" in vars(caplog.records[0])["reason"]


class NoBroker(Publisher):
    def __init__(self) -> None:
        self.refused_routes = RefusedRoutes()

    @property
    def ready(self) -> bool:
        return False

    async def publish(self, _: Sequence[Entry]) -> bool:
        raise ConnectionError


async def test_stopping_gateway_moves_entries_unchanged(infra: Mapping[str, str], server: Any) -> None:
    shard = shard_keys(3)
    written = {b"k": b"order.reserved.60", b"b": b'{"v":1}'}
    entry_id = server.xadd(shard.direct, written).decode()
    async with open_redis(infra["REDIS_URL"], 5, 4) as client:
        outbox = DirectOutbox(client, cast("Scripts", None), NoBroker(), settings_of(infra), KnownPositions(16))
        outbox.send(Entry(shard.direct, entry_id, "order.reserved.60", b'{"v":1}'))
        await outbox.finish(1)
    assert ([fields for _, fields in server.xrange(shard.outbox)], server.xlen(shard.direct)) == ([written], 0)


async def test_entry_from_a_clock_that_was_ahead_is_reclaimed(
    infra: Mapping[str, str], server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "MEASURE_EVERY_SECONDS", 0.01)
    shard = shard_keys(3)
    ahead_ms = int(time.time() * 1000) + 3_600_000
    written = {b"k": b"order.reserved.60", b"b": b'{"v":1}', b"t": b"%d" % ahead_ms}
    server.xadd(shard.direct, written, id=f"{ahead_ms}-0")
    async with open_redis(infra["REDIS_URL"], 5, 4) as client:
        settings = replace(settings_of(infra), relay_claim_idle_ms=20)
        outbox = DirectOutbox(client, read_scripts(Path(infra["FLASHSALE_LUA_DIR"])), NoBroker(), settings, KnownPositions(16))
        watching = asyncio.create_task(Monitor([client], outbox, settings, Lag(0)).run())
        await until(lambda: server.xlen(shard.direct) == 0)
        await cancel_and_wait(watching)
    assert [fields for _, fields in server.xrange(shard.outbox)] == [written]


def settings_of(infra: Mapping[str, str]) -> Settings:
    secrets = {
        "FLASHSALE_ORDER_ID_KEY": "k" * 32, "FLASHSALE_ADMIN_TOKEN": "t" * 16, "FLASHSALE_IDENTITY": "body",
        "FLASHSALE_WEBHOOK_SECRET": "whsec_" + "QUFB" * 8,
    }  # fmt: skip
    return read_settings(Environment(dict(infra) | secrets))
