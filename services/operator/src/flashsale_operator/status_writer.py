"""Writes statuses and Events through the apiserver."""

from typing import Any

from flashsale_operator.apiserver import Apiserver
from flashsale_operator.resource import GROUP, PLURAL, VERSION, Resource


class StatusWriter:
    """Every method raises aiohttp.ClientError, OSError or TimeoutError when the apiserver refuses or does not answer."""

    def __init__(self, apiserver: Apiserver) -> None:
        self._apiserver = apiserver

    async def write(self, resource: Resource, status: dict[str, Any]) -> bool:
        """Replace the status; returns whether the resource still exists."""
        # The test keeps the status, with the epoch in it, from a new resource of the same name.
        operations = [
            {"op": "test", "path": "/metadata/uid", "value": resource.uid},
            {"op": "add", "path": "/status", "value": status},
        ]
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{resource.namespace}/{PLURAL}/{resource.name}/status"
        async with self._apiserver.request("PATCH", path, operations, "application/json-patch+json") as answer:
            if answer.status == 404:
                return False
            answer.raise_for_status()
            return True

    async def post_event(self, namespace: str, document: dict[str, Any]) -> None:
        async with self._apiserver.request("POST", f"/api/v1/namespaces/{namespace}/events", document, "application/json") as answer:
            answer.raise_for_status()
