"""Access to FlashSales through the apiserver, with the pod's token: those of one namespace, or all."""

import asyncio
import json
import math
import ssl
from collections.abc import AsyncIterator, Callable, Container, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import kopf

from flashsale_core.errors import SettingsError
from flashsale_core.settings import Environment
from flashsale_operator.resource import GROUP, PLURAL, VERSION

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
REQUEST_TIMEOUT_SECONDS = 15.0
TOKEN_SECONDS = 60.0
"""How long a token that was read is used. Its file changes long before it expires."""
CHUNK = 1000
"""Most FlashSales in one answer."""
WRITES_MAX = 32
"""Most writes at the same time. The more there are, the later a busy apiserver answers each, and a write that times out is repeated:
of 264 at once, one that managed 20 a second let many time out. The time of those that wait for a place is not counted."""
# Ten thousand sales are listed by name and generation only, without their specs and statuses.
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, application/json"


class FlashSales:
    """Every method raises aiohttp.ClientError when the apiserver refuses or does not answer."""

    def __init__(self, session: aiohttp.ClientSession, url: str, authorize: Callable[[], Mapping[str, str]] = dict) -> None:
        self._session = session
        self._url = url
        self._authorize = authorize

    async def documents(self) -> list[dict[str, Any]]:
        """All resources; empty also when the resource type itself is gone."""
        return [item async for item in self.each()]

    async def each(self, media_type: str = "application/json") -> AsyncIterator[dict[str, Any]]:
        """All resources, of which at most `CHUNK` are in memory."""
        token = ""
        while True:
            items, token = await self._page(media_type, token)
            for item in items:
                yield item
            if not token:
                return

    async def generations(self) -> dict[str, int]:
        """The generation of each FlashSale, by uid."""
        return {item["metadata"]["uid"]: item["metadata"]["generation"] async for item in self.each(METADATA_ONLY)}

    async def get(self, name: str) -> dict[str, Any] | None:
        """The resource; None when it does not exist."""
        async with self._session.get(f"{self._url}/{name}", headers=self._authorize()) as answer:
            if answer.status == 404:
                return None
            answer.raise_for_status()
            return dict(await answer.json())

    async def create(self, document: dict[str, Any]) -> None:
        async with self._session.post(self._url, json=document, headers=self._authorize()) as answer:
            await answer.read()
            answer.raise_for_status()

    async def delete(self, name: str) -> int:
        """Delete a FlashSale; returns the HTTP status. 404, for one that is already gone, is not an error."""
        async with self._session.delete(f"{self._url}/{name}", headers=self._authorize()) as answer:
            if answer.status != 404:
                answer.raise_for_status()
            return answer.status

    async def _page(self, media_type: str, token: str) -> tuple[list[dict[str, Any]], str]:
        """A part of the list, and where the next one begins; nothing when the resource type itself is gone."""
        params = {"limit": str(CHUNK)} | ({"continue": token} if token else {})
        async with self._session.get(self._url, headers={**self._authorize(), "Accept": media_type}, params=params) as answer:
            if answer.status == 404:
                return [], ""
            answer.raise_for_status()
            listing: dict[str, Any] = await answer.json(content_type=None)
        # The apiserver writes null for an empty list of metadata.
        return list(listing["items"] or ()), listing.get("metadata", {}).get("continue", "")


class Apiserver:
    """A session that lasts: the pod's token is replaced every hour, and is read again for it."""

    def __init__(self, session: aiohttp.ClientSession, server: str, authorize: Callable[[], Mapping[str, str]]) -> None:
        self._session = session
        self._server = server
        self._authorize = authorize
        self._writes = asyncio.Semaphore(WRITES_MAX)

    def request(self, method: str, path: str, body: Any, content_type: str) -> "aiohttp.client._RequestContextManager":
        """Send `body` as JSON. Raises aiohttp.ClientError, OSError or TimeoutError."""
        headers = {**self._authorize(), "Content-Type": content_type}
        return self._session.request(method, f"{self._server}{path}", data=json.dumps(body), headers=headers)

    async def write(self, method: str, path: str, body: Any, content_type: str, *expected: int) -> tuple[int, bytes]:
        """The status and the whole answer. Raises as `request` does, also for an error's status that is not one of `expected`."""
        async with self._writes, self.request(method, path, body, content_type) as answer:
            # An answer that is not read ends its connection, and the next request begins with a TLS handshake.
            content = await answer.read()
            if answer.status not in expected:
                answer.raise_for_status()
            return answer.status, content

    def flash_sales(self, namespace: str) -> FlashSales:
        """Those of `namespace`, or of all namespaces if it is empty."""
        return FlashSales(self._session, f"{self._server}{collection(namespace)}", self._authorize)


class PodToken:
    """The headers of a request with the pod's token."""

    def __init__(self, path: Path = ACCOUNT / "token") -> None:
        self._path = path
        self._read_at = -math.inf
        self._headers: Mapping[str, str] = {}

    def __call__(self) -> Mapping[str, str]:
        if monotonic() - self._read_at > TOKEN_SECONDS:
            self._headers, self._read_at = {"Authorization": f"Bearer {self._path.read_text()}"}, monotonic()
        return self._headers


def collection(namespace: str) -> str:
    scope = f"namespaces/{namespace}/" if namespace else ""
    return f"/apis/{GROUP}/{VERSION}/{scope}{PLURAL}"


@asynccontextmanager
async def open_apiserver(env: Environment, timeout_seconds: float = REQUEST_TIMEOUT_SECONDS) -> AsyncIterator[Apiserver]:
    """Open a session with the pod's token or, outside a cluster, with the kubeconfig.

    Raises SettingsError if there is neither, OSError without a token.
    """
    server, context, authorize = _in_cluster(env) if env.optional("KUBERNETES_SERVICE_HOST") else _by_kubeconfig()
    timeout = aiohttp.ClientTimeout(total=timeout_seconds)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(ssl=context)) as session:
        yield Apiserver(session, server, authorize)


class Namespaces:
    """The FlashSales of several namespaces, or of all if one of them is "". Raises aiohttp.ClientError as FlashSales does."""

    def __init__(self, of: Callable[[str], FlashSales], namespaces: Sequence[str], lost: Container[str] = ()) -> None:
        """Those in `lost` are left out of `generations`."""
        self._of = of
        self._lost = lost
        self._namespaces = [""] if "" in namespaces else namespaces

    async def documents(self) -> list[dict[str, Any]]:
        """All FlashSales; empty also when the resource type itself is gone."""
        return [document async for document in self.each()]

    async def each(self) -> AsyncIterator[dict[str, Any]]:
        for namespace in self._namespaces:
            async for document in self._of(namespace).each():
                yield document

    async def generations(self) -> dict[str, int]:
        """The generation of each FlashSale, by uid."""
        listings = [await self._of(namespace).generations() for namespace in self._namespaces if namespace not in self._lost]
        return {uid: generation for listing in listings for uid, generation in listing.items()}

    async def delete(self, namespace: str, name: str) -> int:
        return await self._of(namespace).delete(name)


@asynccontextmanager
async def open_flash_sales(env: Environment, namespace: str) -> AsyncIterator[FlashSales]:
    """As open_apiserver, for the FlashSales of `namespace`, or of all namespaces if it is empty."""
    async with open_apiserver(env) as apiserver:
        yield apiserver.flash_sales(namespace)


@asynccontextmanager
async def open_namespaces(env: Environment, namespaces: Sequence[str]) -> AsyncIterator[Namespaces]:
    """As open_apiserver, for the FlashSales of several namespaces."""
    async with open_apiserver(env) as apiserver:
        yield Namespaces(apiserver.flash_sales, namespaces)


def _in_cluster(env: Environment) -> tuple[str, ssl.SSLContext, Callable[[], Mapping[str, str]]]:
    server = f"https://{env.text('KUBERNETES_SERVICE_HOST')}:{env.text('KUBERNETES_SERVICE_PORT')}"
    return server, ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt")), PodToken()


def _by_kubeconfig() -> tuple[str, ssl.SSLContext, Callable[[], Mapping[str, str]]]:
    try:
        info = kopf.login_with_kubeconfig(settings=kopf.OperatorSettings())
        if info is not None:
            return info.server, info.as_ssl_context(), info.as_http_headers
    except Exception as error:
        # Broad on purpose: kopf reads the file without checks, and raises whatever its contents lead to.
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise SettingsError(f"the kubeconfig cannot be used ({reason}): set KUBECONFIG to another") from error
    raise SettingsError("KUBERNETES_SERVICE_HOST is not set, and there is no kubeconfig: set KUBECONFIG")
