"""Before an uninstall: the cleanup looks first, refuses while a sale is in use, and otherwise deletes all and waits."""

from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import ClientSession, web

from flashsale_core.errors import Rejected
from flashsale_operator import cleanup
from flashsale_operator.apiserver import Apiserver, Namespaces
from flashsale_operator.in_use import NAMED_MAX, in_use, refusal, use_of

ROOT = "/apis/flashsale.dev/v1alpha1"


def flash_sale(name: str = "shoe", phase: str = "", available: int = 0, reserved: int = 0, deleted: bool = False) -> dict[str, Any]:
    stock = {"total": 10, "available": available, "reserved": reserved, "sold": 10 - available - reserved}
    status = {"status": {"phase": phase, "stock": stock}} if phase else {}
    return {"metadata": {"namespace": "shop", "name": name, **({"deletionTimestamp": "2026-08-01T00:00:00Z"} if deleted else {})}, **status}


STALLED = {"metadata": {"namespace": "shop", "name": "window"}, "status": {"phase": "Stalled"}}


@pytest.mark.parametrize(
    ("body", "use"),
    [
        (flash_sale(phase="Live", available=3), "Live, 3 units available"),
        (flash_sale(phase="Scheduled", available=10), "Scheduled, 10 units available"),
        (flash_sale(phase="Paused", available=10), "Paused, 10 units available"),
        (flash_sale(phase="SoldOut", reserved=2), "SoldOut, 2 units reserved"),
        (flash_sale(phase="Ended", available=1, reserved=2), "Ended, 2 units reserved"),
        (flash_sale(phase="Stalled", available=4), "Stalled, 4 units available"),
        (flash_sale(), "not yet loaded, 0 units available"),
        (flash_sale(phase="Draining", reserved=1, deleted=True), "Draining, 1 units reserved"),
        (flash_sale(phase="Draining", deleted=True), ""),
        (flash_sale(phase="SoldOut"), ""),
        (flash_sale(phase="Ended", available=7), ""),
        (STALLED, ""),
    ],
)
def test_sale_is_in_use_until_it_is_finished_and_no_unit_is_reserved(body: Mapping[str, Any], use: str) -> None:
    assert (use_of(body), in_use([body])) == (use, {f"shop/{body['metadata']['name']}": use} if use else {})


def test_refusal_names_few_of_many_sales_and_the_cure() -> None:
    uses = {f"shop/s{number}": "Live, 1 units available" for number in range(NAMED_MAX + 980)}
    sentence = refusal(uses)
    assert sentence.startswith("FlashSales that are live or have units reserved (1000): shop/s0 (Live, 1 units available), ")
    assert ("shop/s19 " in sentence, "shop/s20 " in sentence, " and 980 more. Nothing was changed." in sentence) == (True, False, True)
    assert "--set cleanup.force=true" in sentence


class Cluster:
    """A cluster whose operator needs `drain` looks to release a deleted FlashSale."""

    def __init__(self, *bodies: dict[str, Any], drain: int = 1) -> None:
        self.bodies = list(bodies)
        self.deleted: list[str] = []
        self._drain = drain

    async def documents(self) -> list[dict[str, Any]]:
        if self.deleted:
            self._drain -= 1
        if self._drain <= 0:
            self.bodies = [body for body in self.bodies if body["metadata"]["name"] not in self.deleted]
        return list(self.bodies)

    async def delete(self, namespace: str, name: str) -> int:
        assert namespace == "shop"
        self.deleted.append(name)
        return 200


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup, "POLL_SECONDS", 0.001)


LIVE, ENDED = flash_sale("live", "Live", 5), flash_sale("ended", "Ended")


async def test_live_sale_refuses_the_cleanup_of_all() -> None:
    cluster = Cluster(ENDED, LIVE)
    with pytest.raises(Rejected, match=r"^FlashSales that are live .* shop/live \(Live, 5 units available\)\."):
        await cleanup.clean(cluster, 1, force=False)
    assert cluster.deleted == []


async def test_forced_cleanup_deletes_live_sales() -> None:
    cluster = Cluster(ENDED, LIVE)
    assert (await cleanup.clean(cluster, 5, force=True), cluster.deleted) == ([], ["ended", "live"])


async def test_finished_sales_are_deleted_without_force() -> None:
    cluster = Cluster(ENDED, drain=3)
    assert (await cleanup.clean(cluster, 5, force=False), cluster.deleted) == ([], ["ended"])


async def test_sale_that_drains_too_long_is_named() -> None:
    assert await cleanup.clean(Cluster(LIVE, drain=10**6), 0.05, force=True) == ["shop/live"]


@pytest.mark.parametrize(
    ("namespaces", "listed"),
    [(["shop"], ["/namespaces/shop"]), (["shop", "club"], ["/namespaces/shop", "/namespaces/club"]), ([""], [""]), (["shop", ""], [""])],
)
async def test_namespaces_are_those_that_the_operator_watches(namespaces: list[str], listed: list[str]) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(f"{request.method} {request.path}")
        return web.json_response({"items": [flash_sale("a")]})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with ClientSession() as session:
            cluster = Namespaces(Apiserver(session, str(site.name), dict).flash_sales, namespaces)
            assert len(await cluster.documents()) == len(listed)
            assert await cluster.delete("club", "a") == 200
    finally:
        await runner.cleanup()
    assert asked == [*(f"GET {ROOT}{path}/flashsales" for path in listed), f"DELETE {ROOT}/namespaces/club/flashsales/a"]
