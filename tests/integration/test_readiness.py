"""What the gateway makes of a real Redis that would forget, or that does not tell."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from flashsale_core.scripts import read_scripts
from flashsale_core.supervise import Supervisor
from flashsale_gateway import metrics
from flashsale_gateway.errors import NotReady
from flashsale_gateway.readiness import Readiness
from flashsale_redis import open_redis
from tests.integration.stores import at_all, look_into


@pytest.fixture
def server(infra: Mapping[str, str]) -> Iterator[Any]:
    with look_into(infra["REDIS_URL"]) as client:
        yield client
        client.config_set("appendfsync", "always")
        client.config_set("no-appendfsync-on-rewrite", "no")
        client.acl_deluser("managed", **at_all(client))


async def checked(infra: Mapping[str, str], require_durable: bool = True, times: int = 1, login: str = "") -> str:
    """What readiness says in the end: the detail of its problem, or nothing."""

    async def check() -> str:
        url = urlsplit(infra["REDIS_URL"])
        address = url.netloc.rpartition("@")[2]
        async with open_redis(url._replace(netloc=f"{login}@{address}" if login else url.netloc).geturl(), 5, 4) as client:
            readiness = Readiness(client, read_scripts(Path(infra["FLASHSALE_LUA_DIR"])), 5, require_durable, Supervisor())
            try:
                for _ in range(times):
                    await readiness.check()
            except NotReady as error:
                return str(error)
            return ""

    return await check()


def durable() -> float:
    ((sample,),) = [metric.samples for metric in metrics.REDIS_DURABLE.collect()]
    return float(sample.value)


async def test_redis_that_answers_before_its_disk_has_it_is_not_ready_unless_that_is_wanted(infra: Mapping[str, str], server: Any) -> None:
    assert (await checked(infra), durable()) == ("", 1)
    server.config_set("appendfsync", "everysec")
    said = await checked(infra)
    assert ("appendfsync everysec" in said, "set `appendfsync always`" in said) == (True, True)
    assert (await checked(infra, require_durable=False), durable()) == ("", 0)


async def test_redis_that_skips_its_disk_while_it_rewrites_its_file_is_not_ready(infra: Mapping[str, str], server: Any) -> None:
    server.config_set("no-appendfsync-on-rewrite", "yes")
    assert ("set `no-appendfsync-on-rewrite no`" in await checked(infra), durable()) == (True, 0)


async def test_why_it_is_not_ready_is_logged_when_it_changes(
    infra: Mapping[str, str], server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "flashsale_gateway"):
        async with open_redis(infra["REDIS_URL"], 5, 4) as client:
            readiness = Readiness(client, read_scripts(Path(infra["FLASHSALE_LUA_DIR"])), 5, True, Supervisor())
            for policy in ("always", "everysec", "everysec", "no", "always"):
                server.config_set("appendfsync", policy)
                with suppress(NotReady):
                    await readiness.check()
    assert [record.message for record in caplog.records] == ["readiness.not_ready", "readiness.not_ready", "readiness.ready"]
    assert ["everysec" in caplog.text, "appendfsync no" in str(vars(caplog.records[1])["reason"])] == [False, True]


async def test_redis_that_does_not_tell_is_taken_and_said_so_once(
    infra: Mapping[str, str], server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server.acl_setuser(
        "managed", enabled=True, passwords=["+secret"], keys=["*"], categories=["+@all"], commands=["-config"], **at_all(server)
    )
    with caplog.at_level(logging.WARNING):
        assert await checked(infra, times=3, login="managed:secret") == ""
    assert ([record.message for record in caplog.records], durable()) == (["redis.appendfsync_unknown"], 1)
