"""The gateway's readiness with a real Redis that may lose writes, or does not show its settings."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from prometheus_client import Gauge

from flashsale_core.scripts import read_scripts
from flashsale_core.supervise import Supervisor
from flashsale_gateway import metrics
from flashsale_gateway.errors import NotReady
from flashsale_gateway.readiness import Readiness
from flashsale_redis import open_redis
from tests.fences import open_history
from tests.integration.stores import on_all_masters, redis_client


@pytest.fixture
def server(infra: Mapping[str, str]) -> Iterator[Any]:
    with redis_client(infra["REDIS_URL"]) as client:
        yield client
        client.config_set("appendfsync", "always")
        client.config_set("no-appendfsync-on-rewrite", "no")
        client.acl_deluser("managed", **on_all_masters(client))


async def checked(infra: Mapping[str, str], require_durable: bool = True, times: int = 1, login: str = "") -> str:
    """The reason why the gateway is not ready; empty when it is ready."""

    async def check() -> str:
        url = urlsplit(infra["REDIS_URL"])
        address = url.netloc.rpartition("@")[2]
        async with open_redis(url._replace(netloc=f"{login}@{address}" if login else url.netloc).geturl(), 5, 4) as client:
            readiness = Readiness(client, read_scripts(Path(infra["FLASHSALE_LUA_DIR"])), 5, require_durable, Supervisor(), open_history())
            try:
                for _ in range(times):
                    await readiness.check()
            except NotReady as error:
                return str(error)
            return ""

    return await check()


def durable(gauge: Gauge = metrics.REDIS_DURABLE) -> float:
    ((sample,),) = [metric.samples for metric in gauge.collect()]
    return float(sample.value)


def durable_required() -> float:
    return durable(metrics.REDIS_DURABLE_REQUIRED)


async def test_redis_that_answers_before_fsync_is_ready_only_if_allowed(infra: Mapping[str, str], server: Any) -> None:
    assert (await checked(infra), durable()) == ("", 1)
    server.config_set("appendfsync", "everysec")
    reason = await checked(infra)
    assert ("appendfsync everysec" in reason, "set `appendfsync always`" in reason) == (True, True)
    assert (durable_required(), await checked(infra, require_durable=False), durable(), durable_required()) == (1, "", 0, 0)


async def test_redis_without_fsync_during_rewrites_is_not_ready(infra: Mapping[str, str], server: Any) -> None:
    server.config_set("no-appendfsync-on-rewrite", "yes")
    assert ("set `no-appendfsync-on-rewrite no`" in await checked(infra), durable()) == (True, 0)


async def test_reason_is_logged_when_it_changes(infra: Mapping[str, str], server: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "flashsale_gateway"):
        async with open_redis(infra["REDIS_URL"], 5, 4) as client:
            readiness = Readiness(client, read_scripts(Path(infra["FLASHSALE_LUA_DIR"])), 5, True, Supervisor(), open_history())
            for policy in ("always", "everysec", "everysec", "no", "always"):
                server.config_set("appendfsync", policy)
                with suppress(NotReady):
                    await readiness.check()
    assert [record.message for record in caplog.records] == ["readiness.not_ready", "readiness.not_ready", "readiness.ready"]
    assert ["everysec" in caplog.text, "appendfsync no" in str(vars(caplog.records[1])["reason"])] == [False, True]


async def test_redis_that_hides_its_settings_is_ready_with_one_warning(
    infra: Mapping[str, str], server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server.acl_setuser(
        "managed", enabled=True, passwords=["+secret"], keys=["*"], categories=["+@all"], commands=["-config"], **on_all_masters(server)
    )
    with caplog.at_level(logging.WARNING):
        assert await checked(infra, times=3, login="managed:secret") == ""
    assert ([record.message for record in caplog.records], durable()) == (["redis.appendfsync_unknown"], 1)
