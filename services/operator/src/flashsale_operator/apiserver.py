"""Access to FlashSales through the apiserver, with the pod's token: those of one namespace, or all."""

import ssl
from collections.abc import AsyncIterator, Sequence
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

    async def documents(self) -> list[dict[str, Any]]:
        """All resources; empty also when the resource type itself is gone."""
        async with self._session.get(self._url) as answer:
            if answer.status == 404:
                return []
            answer.raise_for_status()
            listing: dict[str, Any] = await answer.json()
        return list(listing["items"])

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


class Namespaces:
    """The FlashSales of several namespaces, or of all if one of them is "". Raises aiohttp.ClientError as FlashSales does."""

    def __init__(self, session: aiohttp.ClientSession, root: str, namespaces: Sequence[str]) -> None:
        self._session = session
        self._root = root
        self._namespaces = [""] if "" in namespaces else namespaces

    def _of(self, namespace: str) -> FlashSales:
        return FlashSales(self._session, _url(self._root, namespace))

    async def documents(self) -> list[dict[str, Any]]:
        """All FlashSales; empty also when the resource type itself is gone."""
        return [document for namespace in self._namespaces for document in await self._of(namespace).documents()]

    async def delete(self, namespace: str, name: str) -> int:
        return await self._of(namespace).delete(name)


def _url(root: str, namespace: str) -> str:
    return f"{root}/namespaces/{namespace}/{PLURAL}" if namespace else f"{root}/{PLURAL}"


@asynccontextmanager
async def open_flash_sales(env: Environment, namespace: str) -> AsyncIterator[FlashSales]:
    """Open a session for the FlashSales of `namespace`, or of all namespaces if it is empty. Raises as `_open` does."""
    async with _open(env) as (session, root):
        yield FlashSales(session, _url(root, namespace))


@asynccontextmanager
async def open_namespaces(env: Environment, namespaces: Sequence[str]) -> AsyncIterator[Namespaces]:
    """Raises as `_open` does."""
    async with _open(env) as (session, root):
        yield Namespaces(session, root, namespaces)


@asynccontextmanager
async def _open(env: Environment) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    """A session with the pod's token, and the URL of the resource's version.

    Raises SettingsError outside a cluster, OSError without a token.
    """
    server = f"https://{env.text('KUBERNETES_SERVICE_HOST')}:{env.text('KUBERNETES_SERVICE_PORT')}"
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"}
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=aiohttp.TCPConnector(ssl=context)) as session:
        yield session, f"{server}/apis/{GROUP}/{VERSION}"
