"""Which FlashSales an operator serves, and that kopf never receives the others."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from kopf._core.reactor import processing

from flashsale_core.errors import Rejected
from flashsale_operator import event_filter
from flashsale_operator.apiserver import Namespaces
from flashsale_operator.cache import ResourceCache
from flashsale_operator.engine import Engine
from flashsale_operator.event_filter import FINALIZER, only_served
from flashsale_operator.main import refuse_rival

OURS = Engine("flashsale", is_default=True, controller="shop.one")
SECOND = Engine("second", is_default=False, controller="shop.two")


def flash_sale(engine: str | None = None, claimed: str = "", uid: str = "u1") -> dict[str, Any]:
    spec = {"stock": 1} | ({} if engine is None else {"engine": engine})
    body: dict[str, Any] = {"metadata": {"uid": uid, "name": "shoe", "namespace": "shop", "generation": 2}, "spec": spec}
    return body | ({"status": {"controllerName": claimed}} if claimed else {})


@pytest.mark.parametrize(
    ("body", "served"),
    [
        (flash_sale(), (True, False)),
        (flash_sale("flashsale"), (True, False)),
        (flash_sale("second"), (False, True)),
        (flash_sale("third"), (False, False)),
        (flash_sale(claimed="shop.one"), (True, False)),
        (flash_sale(claimed="shop.two"), (False, False)),
        (flash_sale("second", claimed="shop.two"), (False, True)),
        (flash_sale("second", claimed="shop.one"), (False, False)),
    ],
)
def test_flashsale_has_one_engine_and_one_installation(body: dict[str, Any], served: tuple[bool, bool]) -> None:
    assert (OURS.serves(body), SECOND.serves(body)) == served


def test_second_installation_of_an_engine_is_a_rival_of_the_first() -> None:
    late = Engine("flashsale", is_default=True, controller="shop.late")
    first, second = flash_sale(claimed="shop.one"), flash_sale("second", claimed="shop.two")

    def rival(engine: Engine, *bodies: dict[str, Any]) -> str | None:
        return engine.rival({engine.claim(body) for body in bodies})

    assert (rival(late, first, second), rival(OURS, first, second), rival(SECOND, first, second)) == ("shop.one", None, None)
    # Where both have claimed some, each goes on with its own.
    mixed = [first, flash_sale(claimed="shop.late")]
    assert (rival(late, *mixed), rival(OURS, *mixed), rival(late, flash_sale()), rival(late)) == (None, None, None, None)


async def test_rival_is_found_behind_thousands_of_unclaimed_flashsales() -> None:
    class Listed(Namespaces):
        def __init__(self) -> None: ...

        async def each(self) -> AsyncIterator[dict[str, Any]]:
            for _ in range(3000):
                yield flash_sale()
            yield flash_sale(claimed="shop.other")

    with pytest.raises(Rejected, match=r"the installation shop\.other serves the engine flashsale"):
        await refuse_rival(OURS, Listed())


async def test_kopf_receives_only_the_events_that_it_has_work_with(monkeypatch: pytest.MonkeyPatch) -> None:
    received, observed = [], []

    async def process(*, raw_event: Any, consistency_time: float | None = None) -> str:
        received.append((raw_event["type"], raw_event["object"]["metadata"]["uid"], consistency_time))
        return "42"

    def observe(body: Mapping[str, Any], kind: str | None) -> None:
        observed.append((kind, body["metadata"]["uid"]))

    monkeypatch.setattr(processing, "process_resource_event", process)
    cache = ResourceCache()
    with only_served(OURS, cache, observe):
        handle: Any = processing.process_resource_event
        assert await handle(raw_event={"type": None, "object": flash_sale()}, consistency_time=1.0) == "42"
        for kind in (None, "ADDED", "MODIFIED"):
            assert await handle(raw_event={"type": kind, "object": flash_sale("second", uid="u2")}) is None
        # Another installation's: the watch has reported it, so the watch check does not miss it.
        assert cache.observed_generations() == {"u2": 2}
        await handle(raw_event={"type": "DELETED", "object": flash_sale("second", uid="u2")})
        assert cache.observed_generations() == {}
        # One that has the finalizer is of no interest to kopf before its deletion.
        kept, deleting = flash_sale(uid="u3"), flash_sale(uid="u3")
        kept["metadata"]["finalizers"] = [FINALIZER]
        deleting["metadata"] |= {"finalizers": [FINALIZER], "deletionTimestamp": "2026-08-01T12:00:00Z"}
        assert await handle(raw_event={"type": "MODIFIED", "object": kept}) is None
        await handle(raw_event={"type": "MODIFIED", "object": deleting})
        await handle(raw_event={"type": "DELETED", "object": kept})
    assert received == [(None, "u1", 1.0), ("MODIFIED", "u3", None), ("DELETED", "u3", None)]
    assert observed == [(None, "u1"), ("MODIFIED", "u3"), ("MODIFIED", "u3"), ("DELETED", "u3")]
    assert vars(processing)["process_resource_event"] is process


async def test_new_flashsales_wait_for_a_place_and_deletions_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most = [], []

    async def process(*, raw_event: Any) -> None:
        running.append(raw_event)
        most.append(len(running))
        await asyncio.sleep(0)
        running.pop()

    monkeypatch.setattr(processing, "process_resource_event", process)
    deleting = flash_sale(uid="u2")
    deleting["metadata"]["deletionTimestamp"] = "2026-08-01T12:00:00Z"
    monkeypatch.setattr(event_filter, "FINALIZING_MAX", 2)
    with only_served(OURS, ResourceCache(), lambda *_: None):
        handle: Any = processing.process_resource_event
        await asyncio.gather(*[handle(raw_event={"type": "ADDED", "object": flash_sale()}) for _ in range(20)])
        assert max(most) == 2
        await asyncio.gather(*[handle(raw_event={"type": "MODIFIED", "object": deleting}) for _ in range(20)])
        assert max(most) == 20
