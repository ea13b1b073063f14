"""An apiserver as small as kopf lets it be: discovery, list, watch and patch of FlashSales. Whoever lost its Role is refused with 403."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import kopf
from aiohttp import ClientSession, web

from flashsale_operator.apiserver import Apiserver
from flashsale_operator.resource import FINALIZER, GROUP, PLURAL, VERSION

API = f"/apis/{GROUP}/{VERSION}"
VERBS = ["list", "watch", "patch"]
CORE = [{"name": "namespaces", "kind": "Namespace", "namespaced": False, "singularName": "namespace", "verbs": VERBS}]
OURS = [
    {"name": PLURAL, "kind": "FlashSale", "namespaced": True, "singularName": "flashsale", "verbs": VERBS},
    {"name": f"{PLURAL}/status", "kind": "FlashSale", "namespaced": True, "singularName": "", "verbs": ["patch"]},
]


class FakeApiserver:
    def __init__(self) -> None:
        self.forbidden: set[str] = set()
        """Namespaces without a Role for the operator, as those are that were deleted."""
        self.url = ""
        self.patches: Counter[str] = Counter()
        """How many there were, by content type."""
        self._bodies: dict[tuple[str, str], dict[str, Any]] = {}
        self._version = 0
        self._watches: list[tuple[str, asyncio.Queue[dict[str, Any] | None]]] = []

    def add(self, namespace: str, name: str) -> None:
        metadata = {"namespace": namespace, "name": name, "uid": f"{namespace}-{name}", "generation": 1, "finalizers": [FINALIZER]}
        self._bodies[namespace, name] = {"metadata": metadata, "spec": {"stock": 1, "paymentWindowSeconds": 60}}
        self._report("ADDED", namespace, name)

    def delete(self, namespace: str, name: str) -> None:
        self._bodies[namespace, name]["metadata"] |= {"generation": 2, "deletionTimestamp": "2026-08-01T12:00:00Z"}
        self._report("MODIFIED", namespace, name)

    def names(self) -> set[tuple[str, str]]:
        return set(self._bodies)

    def is_watched(self, namespace: str) -> bool:
        return any(watched == namespace for watched, _ in self._watches)

    def end_watches(self, namespace: str) -> None:
        """As the apiserver does every few minutes."""
        for watched, events in self._watches:
            if watched == namespace:
                events.put_nowait(None)

    def _report(self, kind: str, namespace: str, name: str) -> None:
        self._version += 1
        body = self._bodies[namespace, name]
        body["metadata"]["resourceVersion"] = str(self._version)
        event = {"type": kind, "object": json.loads(json.dumps(body))}
        for watched, events in self._watches:
            if watched == namespace:
                events.put_nowait(event)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Apiserver]:
        group = {"name": GROUP, "versions": [{"version": VERSION}], "preferredVersion": {"version": VERSION}}
        application = web.Application()
        application.add_routes([
            web.get("/api", _answer({"versions": ["v1"]})),
            web.get("/api/v1", _answer({"resources": CORE})),
            web.get("/apis", _answer({"groups": [group]})),
            web.get(API, _answer({"resources": OURS})),
            web.get(f"{API}/namespaces/{{namespace}}/{PLURAL}", self._list_or_watch),
            web.patch(f"{API}/namespaces/{{namespace}}/{PLURAL}/{{name}}", self._patch),
        ])  # fmt: skip
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        self.url = f"http://{host}:{port}"
        try:
            async with ClientSession() as session:
                yield Apiserver(session, self.url, dict)
        finally:
            await runner.cleanup()

    def login(self, **_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(server=self.url)

    async def _list_or_watch(self, request: web.Request) -> web.StreamResponse:
        namespace = request.match_info["namespace"]
        if namespace in self.forbidden:
            return _json({"kind": "Status", "code": 403, "message": "forbidden"}, 403)
        if "watch" in request.query:
            return await self._watch(request, namespace)
        items = [body for (of, _), body in self._bodies.items() if of == namespace]
        return _json({"metadata": {"resourceVersion": str(self._version)}, "items": items})

    async def _watch(self, request: web.Request, namespace: str) -> web.StreamResponse:
        events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._watches.append((namespace, events))
        answer = web.StreamResponse()
        await answer.prepare(request)
        while (event := await events.get()) is not None:
            await answer.write(json.dumps(event).encode() + b"\n")
        self._watches.remove((namespace, events))
        return answer

    async def _patch(self, request: web.Request) -> web.Response:
        """A JSON patch removes the finalizer, and a merge patch writes annotations: kopf writes nothing else."""
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        self.patches[request.content_type] += 1
        if (namespace, name) not in self._bodies:
            return _json({"kind": "Status", "code": 404}, 404)
        metadata = self._bodies[namespace, name]["metadata"]
        patch = await request.json()
        if request.content_type == "application/merge-patch+json":
            metadata["annotations"] = metadata.get("annotations", {}) | patch["metadata"]["annotations"]
            self._report("MODIFIED", namespace, name)
            return _json(self._bodies[namespace, name])
        metadata["finalizers"] = []
        self._report("DELETED", namespace, name)
        return _json(self._bodies.pop((namespace, name)))


def _answer(content: Any) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_: web.Request) -> web.Response:
        return _json(content)

    return handle


def _json(content: Any, status: int = 200) -> web.Response:
    return web.json_response(content, status=status)
