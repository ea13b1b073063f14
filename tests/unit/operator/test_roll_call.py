"""What the operator notices of a watch that shows it nothing."""

import asyncio
from collections.abc import Mapping

import pytest
from aiohttp import ClientSession, web

from flashsale_operator import metrics
from flashsale_operator.apiserver import FlashSales
from flashsale_operator.cache import Memory
from flashsale_operator.watch_check import RollCall, unseen
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
    ("answered", "seen", "expected"),
    [
        ({"a": 1}, {"a": 1}, set()),
        ({"a": 1}, {"a": 2, "b": 1}, set()),
        ({"a": 2, "b": 1, "c": 1}, {"a": 1, "c": 1}, {"a", "b"}),
    ],
)
def test_unseen_is_what_the_watch_has_not_shown_in_this_generation(
    answered: dict[str, int], seen: dict[str, int], expected: set[str]
) -> None:
    assert unseen(answered, seen) == expected


def test_a_change_that_is_not_shown_until_the_next_call_means_a_dead_watch() -> None:
    async def run() -> None:
        memory, apiserver = Memory(), Apiserver()
        roll = RollCall(memory, apiserver)
        memory.show("a", 1, {})
        apiserver.generations = {"a": 2, "b": 1}
        await roll.call()
        assert memory.missed == frozenset()
        memory.show("b", 1, {})
        await roll.call()
        assert memory.missed == {"a"}
        metrics.LAST_RECONCILE.set(0)
        memory.reconciled()
        assert last_reconcile() == 0
        memory.show("a", 2, {})
        await roll.call()
        assert memory.missed == frozenset()
        memory.reconciled()
        assert last_reconcile() > 0

    asyncio.run(run())


def test_what_went_between_two_calls_is_not_missed() -> None:
    async def run() -> None:
        memory, apiserver = Memory(), Apiserver()
        roll = RollCall(memory, apiserver)
        apiserver.generations = {"a": 1}
        await roll.call()
        apiserver.generations = {}
        await roll.call()
        assert memory.missed == frozenset()

    asyncio.run(run())


def test_a_resource_whose_end_was_not_shown_is_forgotten() -> None:
    async def run() -> None:
        memory = Memory()
        memory.of(RESOURCE, {})
        memory.show(RESOURCE.uid, 3, {})
        await RollCall(memory, Apiserver()).call()
        assert (memory.all(), memory.seen()) == ([], {})

    asyncio.run(run())


def test_the_apiserver_is_asked_for_names_and_generations_only() -> None:
    async def listing(request: web.Request) -> web.Response:
        assert request.headers["Accept"].startswith("application/json;as=PartialObjectMetadataList;")
        return web.json_response({"items": [{"metadata": {"uid": "u1", "name": "a", "generation": 4}}]})

    async def run() -> None:
        application = web.Application()
        application.router.add_get("/flashsales", listing)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        async with ClientSession() as session:
            assert await FlashSales(session, f"http://{host}:{port}/flashsales").generations() == {"u1": 4}
            assert await FlashSales(session, f"http://{host}:{port}/no-such-type").generations() == {}
        await runner.cleanup()

    asyncio.run(run())
