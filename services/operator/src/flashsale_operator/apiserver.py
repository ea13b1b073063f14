"""Access to FlashSales through the apiserver, with the pod's token: those of one namespace, or all."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from flashsale_core.settings import Environment
from flashsale_operator.resource import GROUP, PLURAL, VERSION

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
REQUEST_TIMEOUT_SECONDS = 15.0
# Ten thousand sales are listed by name and generation only, without their specs and statuses.
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, application/json"


class FlashSales:
    """Every method raises aiohttp.ClientError when the apiserver refuses or does not answer."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def names(self) -> list[str]:
        """All names; empty also when the resource type itself is gone."""
        async with self._session.get(self._url) as answer:
            if answer.status == 404:
                return []
            answer.raise_for_status()
            listing: dict[str, Any] = await answer.json()
        return [item["metadata"]["name"] for item in listing["items"]]

    async def generations(self) -> dict[str, int]:
        """The generation of each FlashSale, by uid."""
        async with self._session.get(self._url, headers={"Accept": METADATA_ONLY}) as answer:
            if answer.status == 404:
                return {}
            answer.raise_for_status()
            listing: dict[str, Any] = await answer.json(content_type=None)
        # The apiserver writes null for an empty list of metadata.
        return {item["metadata"]["uid"]: item["metadata"]["generation"] for item in listing["items"] or ()}

    async def get(self, name: str) -> dict[str, Any] | None:
        """The resource; None when it does not exist."""
        async with self._session.get(f"{self._url}/{name}") as answer:
            if answer.status == 404:
                return None
            answer.raise_for_status()
            return dict(await answer.json())

    async def create(self, document: dict[str, Any]) -> None:
        async with self._session.post(self._url, json=document) as answer:
            answer.raise_for_status()

    async def delete(self, name: str) -> int:
        """Delete a FlashSale; returns the HTTP status. 404, for one that is already gone, is not an error."""
        async with self._session.delete(f"{self._url}/{name}") as answer:
            if answer.status != 404:
                answer.raise_for_status()
            return answer.status


@asynccontextmanager
async def open_flash_sales(env: Environment, namespace: str) -> AsyncIterator[FlashSales]:
    """Open a session for the FlashSales of `namespace`, or of all namespaces if it is empty.

    Raises SettingsError outside a cluster, OSError without a token.
    """
    server = f"https://{env.text('KUBERNETES_SERVICE_HOST')}:{env.text('KUBERNETES_SERVICE_PORT')}"
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"}
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=aiohttp.TCPConnector(ssl=context)) as session:
        scope = f"namespaces/{namespace}/" if namespace else ""
        yield FlashSales(session, f"{server}/apis/{GROUP}/{VERSION}/{scope}{PLURAL}")
