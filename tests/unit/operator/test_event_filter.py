"""Which events kopf receives, with kopf's own watcher of events."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import kopf
import pytest
from kopf._cogs.clients import watching
from kopf._cogs.structs.references import Resource as Kind
from kopf._core.reactor import queueing

from flashsale_operator.cache import ResourceCache
from flashsale_operator.event_filter import only_served
from flashsale_operator.lost_namespaces import LostNamespaces
from flashsale_operator.resource import FINALIZER, GROUP, PLURAL, VERSION
from tests.unit.operator.test_engine import OURS, flash_sale

FLASH_SALES = Kind(group=GROUP, version=VERSION, plural=PLURAL, namespaced=True)
NAMESPACES = Kind(group="", version="v1", plural="namespaces", namespaced=False)
DELETED_AT = "2026-08-01T12:00:00Z"


class Body(dict[str, Any]):
    """Can be referred to weakly, as a dict cannot."""

    __hash__ = object.__hash__  # type: ignore[assignment]


def event(kind: str | None, uid: str, engine: str | None = None, **metadata: Any) -> dict[str, Any]:
    body = Body(flash_sale(engine, uid=uid))
    body["metadata"] |= metadata
    return {"type": kind, "object": body}


class Watched:
    """kopf's watcher, which reads `events` as if the apiserver had sent them, and then the end of a sale. Its processor handles nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, events: list[Any]) -> None:
        self._monkeypatch, self._events = monkeypatch, [*events, event("DELETED", "end")]
        self._ended = asyncio.Event()
        self.received: list[tuple[str | None, str]] = []
        self.bodies: weakref.WeakSet[Body] = weakref.WeakSet()
        """Those that anything still refers to."""

    async def stream(self, **_: Any) -> AsyncIterator[Any]:
        while self._events:
            event = self._events.pop(0)
            if isinstance(event, Mapping):
                self.bodies.add(event["object"])
            yield event
            del event
        await asyncio.Event().wait()

    async def process(self, *, raw_event: Any, **_: Any) -> None:
        uid = raw_event["object"]["metadata"]["uid"]
        if uid == "end":
            # kopf begins with the resources in the order of their first events.
            self._ended.set()
        else:
            self.received.append((raw_event["type"], uid))
        await asyncio.Event().wait()

    async def run(self, cache: ResourceCache, observe: Any, kind: Kind = FLASH_SALES) -> int:
        """Let kopf read all events; returns how many whole bodies are in memory then."""
        settings = kopf.OperatorSettings()
        settings.queueing.exit_timeout = 0
        self._monkeypatch.setattr(watching, "infinite_watch", self.stream)
        with only_served(OURS, cache, observe, LostNamespaces(cast("Any", None))):
            watcher = queueing.watcher(namespace=None, settings=settings, resource=kind, processor=cast("Any", self.process))
            async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                running = group.create_task(watcher)
                await self._ended.wait()
                gc.collect()
                kept = len(self.bodies)
                running.cancel()
        assert vars(watching)["infinite_watch"] == self.stream
        return kept


async def test_kopf_receives_deletions_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    observed: list[tuple[str | None, str]] = []
    watched = Watched(monkeypatch, [
        event(None, "u1"),
        watching.Bookmark.LISTED,
        event("ADDED", "u2"),
        event("MODIFIED", "u3", finalizers=[FINALIZER]),
        event("MODIFIED", "u4", finalizers=[FINALIZER], deletionTimestamp=DELETED_AT, managedFields=[{"manager": "kubectl"}]),
        {"type": "BOOKMARK", "object": Body(metadata={"resourceVersion": "7"})},
        event("DELETED", "u5"),
    ])  # fmt: skip
    bodies = [document["object"] for document in watched._events if isinstance(document, Mapping)]
    await watched.run(ResourceCache(), lambda body, kind: observed.append((kind, body["metadata"]["uid"])))
    assert watched.received == [("MODIFIED", "u4"), ("DELETED", "u5")]
    assert observed == [(None, "u1"), ("ADDED", "u2"), ("MODIFIED", "u3"), ("MODIFIED", "u4"), ("DELETED", "u5"), ("DELETED", "end")]
    assert not any("managedFields" in body["metadata"] for body in bodies)


async def test_flashsales_of_others_are_counted_as_reported_and_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cache, observed = ResourceCache(), []
    events = [event(kind, "u2", "second", deletionTimestamp=DELETED_AT) for kind in (None, "ADDED", "MODIFIED")]
    watched = Watched(monkeypatch, [*events, event("ADDED", "u3", "second"), event("DELETED", "u3", "second")])
    await watched.run(cache, lambda *event: observed.append(event))
    assert (watched.received, cache.observed_generations()) == ([], {"u2": 2})
    assert [body["metadata"]["uid"] for body, _ in observed] == ["end"]


async def test_other_kinds_of_resources_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch, [event("ADDED", "u1")])
    await watched.run(ResourceCache(), lambda *_: None, NAMESPACES)
    assert watched.received == [("ADDED", "u1")]


async def test_no_whole_body_of_a_new_flashsale_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch, [event("ADDED", f"u{number}") for number in range(300)])
    assert await watched.run(ResourceCache(), lambda *_: None) <= 2
