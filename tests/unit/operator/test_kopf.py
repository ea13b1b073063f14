"""kopf itself with the operator's settings and its filter of events, on an apiserver that answers as little as kopf lets it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import kopf
import pytest

from flashsale_core.settings import Environment
from flashsale_operator import metrics
from flashsale_operator.apiserver import Namespaces
from flashsale_operator.cache import ResourceCache
from flashsale_operator.event_filter import only_served
from flashsale_operator.kopf_settings import kopf_settings
from flashsale_operator.lost_namespaces import LostNamespaces
from flashsale_operator.resource import GROUP, PLURAL, VERSION
from flashsale_operator.settings import read_settings
from flashsale_operator.watch_check import WatchCheck
from tests.unit.operator.fake_apiserver import FakeApiserver
from tests.unit.operator.test_engine import OURS
from tests.waiting import until

NAMESPACES = ("shop-a", "shop-b")
WORKERS = 20


class Operator:
    def __init__(self, fake: FakeApiserver, folder: Path) -> None:
        environment = {"REDIS_URL": "redis://r", "FLASHSALE_LUA_DIR": str(folder), "FLASHSALE_OPERATOR_NAMESPACE": ",".join(NAMESPACES)}
        self._settings = replace(read_settings(Environment(environment)), workers_max=WORKERS)
        self._fake = fake
        self.observed: list[tuple[str | None, str]] = []
        self.cache = ResourceCache()

    @asynccontextmanager
    async def run(self) -> AsyncIterator[WatchCheck]:
        """kopf, until the end of the block, which fails if kopf ends before it."""
        registry, settings = kopf.OperatorRegistry(), kopf_settings(self._settings)
        # Its own take four minutes.
        settings.networking.error_backoffs = (0.01,)
        kopf.on.login(registry=registry)(self._fake.login)
        kopf.on.delete(GROUP, VERSION, PLURAL, registry=registry)(self._on_delete)
        async with self._fake.serve() as apiserver:
            lost = LostNamespaces(apiserver.flash_sales, retry_seconds=0.01)
            with only_served(OURS, self.cache, self._observe, lost):
                async with asyncio.TaskGroup() as group:
                    # Its identity is by default the user's name, and a container's user may have none.
                    identity: Any = "test"
                    running = group.create_task(
                        kopf.operator(registry=registry, identity=identity, settings=settings, standalone=True, namespaces=NAMESPACES)
                    )
                    yield WatchCheck(self.cache, Namespaces(apiserver.flash_sales, NAMESPACES, lost).generations)
                    running.cancel()

    async def _on_delete(self, **_: Any) -> None:
        """The sale is removed at once."""

    def _observe(self, body: Mapping[str, Any], kind: str | None) -> None:
        uid = body["metadata"]["uid"]
        self.cache.observe(uid, body["metadata"]["generation"], {})
        self.observed.append((kind, uid))


@pytest.fixture
def fake() -> FakeApiserver:
    return FakeApiserver()


@pytest.fixture
def operator(fake: FakeApiserver, tmp_path: Path) -> Operator:
    return Operator(fake, tmp_path)


async def test_deletion_is_one_request_and_its_worker_waits_for_nothing(fake: FakeApiserver, operator: Operator) -> None:
    names = [f"s{number}" for number in range(5 * WORKERS)]
    for name in names:
        fake.add("shop-a", name)
    async with operator.run():
        await until(lambda: len(operator.observed) == len(names) and fake.is_watched("shop-a"))
        # Workers that wait for a version after their patch, 5 s each, would take 20 s.
        async with asyncio.timeout(12):
            for name in names:
                fake.delete("shop-a", name)
            await until(lambda: not fake.names())
    assert fake.patches == {"application/json-patch+json": len(names)}


async def test_lost_namespace_ends_no_other_watch_and_is_watched_again(fake: FakeApiserver, operator: Operator) -> None:
    for namespace in NAMESPACES:
        fake.add(namespace, "one")
    async with operator.run() as check:
        await until(lambda: all(map(fake.is_watched, NAMESPACES)))
        fake.forbidden.add("shop-a")
        fake.end_watches("shop-a")
        await until(lambda: lost_namespaces() == 1)
        fake.add("shop-b", "two")
        await until(lambda: ("ADDED", "shop-b-two") in operator.observed)
        # Nobody reads its FlashSales, so the sweep must not write their statuses; the watch of the others counts as alive.
        await check.check()
        assert operator.cache.observed_generations().keys() == {"shop-b-one", "shop-b-two"}
        fake.forbidden.clear()
        fake.add("shop-a", "two")
        await until(lambda: (None, "shop-a-two") in operator.observed)
        assert lost_namespaces() == 0
        await check.check()
        assert not operator.cache.unseen_uids


async def test_namespace_that_is_missing_at_the_start_is_watched_later(fake: FakeApiserver, operator: Operator) -> None:
    fake.forbidden.add("shop-a")
    fake.add("shop-b", "one")
    async with operator.run():
        await until(lambda: lost_namespaces() == 1 and len(operator.observed) == 1)
        fake.forbidden.clear()
        fake.add("shop-a", "one")
        await until(lambda: len(operator.observed) == 2)


def lost_namespaces() -> float:
    (metric,) = metrics.LOST_NAMESPACES.collect()
    return metric.samples[0].value
