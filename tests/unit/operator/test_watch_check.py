"""The operator notices a watch that reports no changes."""

from collections.abc import Mapping

import pytest
from aiohttp import ClientSession, web

from flashsale_operator import metrics
from flashsale_operator.apiserver import FlashSales
from flashsale_operator.cache import ResourceCache
from flashsale_operator.watch_check import BEHIND_CHECKS_MAX, WatchCheck, find_unseen
from tests.unit.operator.test_operator_plan import RESOURCE


class Apiserver:
    def __init__(self) -> None:
        self.generations: dict[str, int] = {}

    async def __call__(self) -> Mapping[str, int]:
        return dict(self.generations)


def last_reconcile() -> float:
    (metric,) = metrics.LAST_RECONCILE.collect()
    return metric.samples[0].value


@pytest.mark.parametrize(
    ("listed", "observed", "expected"),
    [
        ({"a": 1}, {"a": 1}, set()),
        ({"a": 1}, {"a": 2, "b": 1}, set()),
        ({"a": 2, "b": 1, "c": 1}, {"a": 1, "c": 1}, {"a", "b"}),
    ],
)
def test_resource_is_unseen_until_its_listed_generation_is_observed(
    listed: dict[str, int], observed: dict[str, int], expected: set[str]
) -> None:
    assert find_unseen(listed, observed) == expected


async def test_change_unobserved_between_two_checks_means_a_dead_watch() -> None:
    cache, apiserver = ResourceCache(), Apiserver()
    check = WatchCheck(cache, apiserver)
    cache.observe("a", 1, {})
    apiserver.generations = {"a": 2, "b": 1}
    await check.check()
    assert cache.unseen_uids == frozenset()
    await check.check()
    assert cache.unseen_uids == {"a", "b"}
    cache.observe("b", 1, {})
    await check.check()
    assert cache.unseen_uids == frozenset()
    await check.check()
    assert cache.unseen_uids == {"a"}
    metrics.LAST_RECONCILE.set(0)
    cache.record_reconciled()
    assert last_reconcile() == 0
    cache.observe("a", 2, {})
    await check.check()
    assert cache.unseen_uids == frozenset()
    cache.record_reconciled()
    assert last_reconcile() > 0


async def test_watch_that_reports_other_changes_is_behind_and_not_dead() -> None:
    cache, apiserver = ResourceCache(), Apiserver()
    check = WatchCheck(cache, apiserver)
    apiserver.generations = {"a": 1, "b": 1}
    verdicts = []
    for _ in range(BEHIND_CHECKS_MAX + 1):
        cache.observe("b", 1, {})
        await check.check()
        verdicts.append(cache.unseen_uids)
    # One of several watches may be dead while the others report.
    assert verdicts == [frozenset()] * BEHIND_CHECKS_MAX + [{"a"}]


async def test_resource_deleted_between_two_checks_is_not_unseen() -> None:
    cache, apiserver = ResourceCache(), Apiserver()
    check = WatchCheck(cache, apiserver)
    apiserver.generations = {"a": 1}
    await check.check()
    apiserver.generations = {}
    await check.check()
    assert cache.unseen_uids == frozenset()


async def test_resource_whose_deletion_was_not_observed_is_removed() -> None:
    cache = ResourceCache()
    cache.get_or_add(RESOURCE, {})
    cache.observe(RESOURCE.uid, 3, {})
    await WatchCheck(cache, Apiserver()).check()
    assert (cache.resources(), cache.observed_generations()) == ([], {})


async def test_apiserver_is_asked_for_names_and_generations_only() -> None:
    async def listing(request: web.Request) -> web.Response:
        assert request.headers["Accept"].startswith("application/json;as=PartialObjectMetadataList;")
        return web.json_response({"items": [{"metadata": {"uid": "u1", "name": "a", "generation": 4}}]})

    application = web.Application()

    async def chunked(request: web.Request) -> web.Response:
        more = {} if "continue" in request.query else {"continue": "next"}
        uid = "u2" if "continue" in request.query else "u1"
        return web.json_response({"metadata": more, "items": [{"metadata": {"uid": uid, "name": uid, "generation": 4}}]})

    application.router.add_get("/many/flashsales", chunked)

    async def empty(_: web.Request) -> web.Response:
        return web.json_response({"items": None})

    application.router.add_get("/flashsales", listing)
    application.router.add_get("/empty/flashsales", empty)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    async with ClientSession() as session:
        assert await FlashSales(session, f"http://{host}:{port}/flashsales").generations() == {"u1": 4}
        assert await FlashSales(session, f"http://{host}:{port}/many/flashsales").generations() == {"u1": 4, "u2": 4}
        assert await FlashSales(session, f"http://{host}:{port}/empty/flashsales").generations() == {}
        assert await FlashSales(session, f"http://{host}:{port}/no-such-type").generations() == {}
    await runner.cleanup()
