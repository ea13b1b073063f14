"""Writes finalizers, statuses and Events through the apiserver."""

import json
from collections.abc import Set
from typing import Any

from flashsale_operator.apiserver import Apiserver
from flashsale_operator.events import COMPONENT, Event, event_document
from flashsale_operator.resource import FINALIZER, GROUP, PLURAL, VERSION, Resource

NEVER = "1970-01-01T00:00:00Z"
MERGE_PATCH = "application/merge-patch+json"


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
        answered, _ = await self._apiserver.write("PATCH", _status_path(resource), operations, "application/json-patch+json", 404)
        return answered != 404

    async def add_finalizer(self, resource: Resource) -> str | None:
        """Keep the resource from disappearing; returns its new version, or None if it has changed since it was read, or is gone."""
        # A merge patch replaces the whole list, so the version keeps finalizers that somebody else has added meanwhile.
        metadata = {"uid": resource.uid, "resourceVersion": resource.version, "finalizers": [*resource.finalizers, FINALIZER]}
        answered, content = await self._apiserver.write("PATCH", _path(resource), {"metadata": metadata}, MERGE_PATCH, 404, 409)
        return None if answered in (404, 409) else str(json.loads(content)["metadata"]["resourceVersion"])

    async def namespace_ends(self, resource: Resource) -> bool:
        """Whether the namespace is being deleted: the apiserver then refuses a new Event, and says so.

        The operator may not read namespaces.
        """
        path = f"/api/v1/namespaces/{resource.namespace}/events?dryRun=All"
        document = event_document(resource, Event("Normal", "Draining", "is the namespace being deleted?"), NEVER, COMPONENT)
        answered, content = await self._apiserver.write("POST", path, document, "application/json", 403)
        return answered == 403 and "NamespaceTerminating" in _cause_reasons(content)

    async def claim(self, resource: Resource, controller: str) -> bool:
        """Write the installation that serves the resource; returns False if the resource has changed since it was read, or is gone."""
        # With its version, only one of two operators that read the same resource can claim it.
        metadata = {"uid": resource.uid, "resourceVersion": resource.version}
        body = {"metadata": metadata, "status": {"controllerName": controller}}
        answered, _ = await self._apiserver.write("PATCH", _status_path(resource), body, MERGE_PATCH, 404, 409)
        return answered not in (404, 409)

    async def post_event(self, namespace: str, document: dict[str, Any]) -> None:
        await self._apiserver.write("POST", f"/api/v1/namespaces/{namespace}/events", document, "application/json")


def _cause_reasons(content: bytes) -> Set[str]:
    """Why the apiserver refused; empty if something else did, such as a proxy."""
    try:
        return {cause.get("reason", "") for cause in json.loads(content).get("details", {}).get("causes", ())}
    except (ValueError, AttributeError):
        return set()


def _status_path(resource: Resource) -> str:
    return f"{_path(resource)}/status"


def _path(resource: Resource) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{resource.namespace}/{PLURAL}/{resource.name}"
