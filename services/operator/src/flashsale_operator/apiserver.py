"""The apiserver, as a job in the cluster reaches it: with the pod's token, one namespace's FlashSales or all."""

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
# Names and generations of ten thousand sales, not their specs and statuses.
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, application/json"


class FlashSales:
    """Methods raise aiohttp.ClientError when the apiserver refuses or does not answer."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def names(self) -> list[str]:
        """Empty, too, when the resource type itself is gone."""
        async with self._session.get(self._url) as answer:
            if answer.status == 404:
                return []
            answer.raise_for_status()
            found: dict[str, Any] = await answer.json()
        return [item["metadata"]["name"] for item in found["items"]]

    async def generations(self) -> dict[str, int]:
        """The generation of each, by uid."""
        async with self._session.get(self._url, headers={"Accept": METADATA_ONLY}) as answer:
            if answer.status == 404:
                return {}
            answer.raise_for_status()
            found: dict[str, Any] = await answer.json(content_type=None)
        return {item["metadata"]["uid"]: item["metadata"]["generation"] for item in found["items"]}

    async def get(self, name: str) -> dict[str, Any] | None:
        async with self._session.get(f"{self._url}/{name}") as answer:
            if answer.status == 404:
                return None
            answer.raise_for_status()
            return dict(await answer.json())

    async def create(self, document: dict[str, Any]) -> None:
        async with self._session.post(self._url, json=document) as answer:
            answer.raise_for_status()

    async def delete(self, name: str) -> int:
        """The status of the answer; one that is gone already is no error."""
        async with self._session.delete(f"{self._url}/{name}") as answer:
            if answer.status != 404:
                answer.raise_for_status()
            return answer.status


@asynccontextmanager
async def open_flash_sales(env: Environment, namespace: str) -> AsyncIterator[FlashSales]:
    """Those of one namespace; of all, when it is empty. Raises SettingsError outside of a cluster, OSError without a token."""
    server = f"https://{env.text('KUBERNETES_SERVICE_HOST')}:{env.text('KUBERNETES_SERVICE_PORT')}"
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"}
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=aiohttp.TCPConnector(ssl=context)) as session:
        within = f"namespaces/{namespace}/" if namespace else ""
        yield FlashSales(session, f"{server}/apis/{GROUP}/{VERSION}/{within}{PLURAL}")
