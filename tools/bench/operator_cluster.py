"""The apiserver as a bench of the operator sees it: one namespace with FlashSales, its watch, and its counters of requests."""

import asyncio
import json
from collections import Counter
from contextlib import suppress
from typing import Any, NamedTuple

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from flashsale_operator.apiserver import Apiserver, collection
from flashsale_operator.resource import GROUP, VERSION

WATCH_SECONDS = 45
"""A watch is replaced after this time; shorter than a request may take."""
WATCH_PAUSE_SECONDS = 0.2
STOCK = 10


class Request(NamedTuple):
    """A kind of request, as the apiserver counts it."""

    verb: str
    resource: str


def sale_name(number: int) -> str:
    return f"backlog-{number:05d}"


class Namespace:
    """Every method raises aiohttp.ClientError when the apiserver refuses or does not answer."""

    def __init__(self, apiserver: Apiserver, name: str) -> None:
        self.apiserver, self.name = apiserver, name
        self.flash_sales = apiserver.flash_sales(name)

    async def call(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        async with self.apiserver.request(method, path, body, content_type) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def create(self) -> None:
        await self.call("POST", "/api/v1/namespaces", {"metadata": {"name": self.name}})

    async def delete(self) -> None:
        await self.call("DELETE", f"/api/v1/namespaces/{self.name}")

    async def create_sale(self, number: int) -> None:
        name = sale_name(number)
        document = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "FlashSale", "metadata": {"name": name}, "spec": {"stock": STOCK}}
        await self.flash_sales.create(document)

    async def edit_sale(self, number: int, spec: dict[str, Any]) -> int:
        """Change fields of the spec; returns the new generation."""
        path = f"{collection(self.name)}/{sale_name(number)}"
        edited = await self.call("PATCH", path, {"spec": spec}, "application/merge-patch+json")
        return int(edited["metadata"]["generation"])

    async def delete_sales(self) -> None:
        await self.call("DELETE", f"{collection(self.name)}?gracePeriodSeconds=0")

    async def is_empty(self) -> bool:
        return not (await self.call("GET", f"{collection(self.name)}?limit=1"))["items"]

    async def requests(self) -> Counter[Request]:
        """The requests for FlashSales and Events that were answered so far, of all clients. Watches are counted when they end."""
        async with self.apiserver.request("GET", "/metrics", None, "application/json") as answer:
            answer.raise_for_status()
            text = await answer.text()
        counted: Counter[Request] = Counter()
        lines = "\n".join(line for line in text.splitlines() if line.startswith("apiserver_request_total{"))
        for family in text_string_to_metric_families(lines):
            for sample in family.samples:
                labels = sample.labels
                if labels["resource"] in ("flashsales", "events"):
                    resource = "/".join(filter(None, (labels["resource"], labels["subresource"])))
                    counted[Request(labels["verb"], resource)] += int(sample.value)
        return counted


class SaleWatch:
    """What the apiserver reports of the FlashSales of a namespace, as any other client sees it."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._version = ""
        self.ready: set[str] = set()
        """The names of those that are Ready in their newest generation."""
        self.observed: dict[str, int] = {}
        """Name -> status.observedGeneration."""
        self.unavailable: set[str] = set()
        """The names of those that were ever told RedisUnavailable."""

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            with suppress(aiohttp.ClientError, TimeoutError, OSError):
                await self._watch()
            await asyncio.sleep(WATCH_PAUSE_SECONDS)

    async def _watch(self) -> None:
        version = f"&resourceVersion={self._version}" if self._version else ""
        path = f"{collection(self._namespace.name)}?watch=1&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}{version}"
        async with self._namespace.apiserver.request("GET", path, None, "application/json") as answer:
            answer.raise_for_status()
            async for line in answer.content:
                self._report(json.loads(line))

    def _report(self, event: dict[str, Any]) -> None:
        kind, sale = event["type"], event["object"]
        if kind == "ERROR":
            # The version is too old: the next watch begins with all FlashSales.
            self._version = ""
            return
        self._version = sale["metadata"]["resourceVersion"]
        if kind == "BOOKMARK":
            return
        name, status = sale["metadata"]["name"], sale.get("status", {})
        self.observed[name] = status.get("observedGeneration", 0)
        (self.ready.add if is_ready(sale) else self.ready.discard)(name)
        if any(condition["reason"] == "RedisUnavailable" for condition in status.get("conditions", ())):
            self.unavailable.add(name)


def is_ready(sale: dict[str, Any]) -> bool:
    status = sale.get("status", {})
    ready = [condition["status"] for condition in status.get("conditions", ()) if condition["type"] == "Ready"]
    return ready == ["True"] and bool(status["observedGeneration"] == sale["metadata"]["generation"])
