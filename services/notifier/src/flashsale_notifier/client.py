"""Sends requests to one endpoint. A name is resolved once, its addresses are checked, and the connection goes to one of these.

Whatever the name resolves to a moment later therefore changes nothing. And each connection is checked once more, by the address that it is
about to go to: a URL can write an address in ways that only the library takes for one, such as with digits of other scripts.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from flashsale_core.networks import Network
from flashsale_notifier.addresses import ForbiddenAddressError, fault_of

CONCURRENT_MAX = 8
"""Most attempts at once, each with a connection of its own."""
ANSWER_BYTES_MAX = 2048
"""The part of an answer's body that is read: enough for a person to see what is wrong."""
IDLE_SECONDS = 30.0
RESOLVED_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Answer:
    status: int | None
    """None if there was no answer; `text` then says why."""
    text: str
    retry_after: str = ""


class CheckedResolver(AbstractResolver):
    """Resolves names to those of their addresses that may be connected to."""

    def __init__(self, allowed: Sequence[Network], *, secure: bool) -> None:
        self._allowed, self._secure = allowed, secure
        # A name whose servers are silent holds its thread for a while, so endpoints share none.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="resolve")

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """Raises OSError if the name has no address, and ForbiddenAddressError if it has none that is permitted."""
        loop = asyncio.get_running_loop()
        resolved = await loop.run_in_executor(self._thread, lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
        faults: list[str] = []
        permitted: list[ResolveResult] = []
        for its_family, _, proto, _, address in resolved:
            fault = fault_of(str(address[0]), self._allowed, secure=self._secure)
            if fault is not None:
                faults.append(fault)
                continue
            flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
            permitted.append(
                ResolveResult(hostname=host, host=str(address[0]), port=port, family=its_family, proto=proto, flags=int(flags))
            )
        if not permitted:
            raise ForbiddenAddressError("; ".join(dict.fromkeys(faults)) or f"{host} has no address")
        return permitted

    async def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def checked_sockets(allowed: Sequence[Network], *, secure: bool) -> Callable[[Any], socket.socket]:
    """Makes the socket of each connection; raises ForbiddenAddressError if nothing may be sent to its address."""

    def socket_to(info: tuple[int, int, int, str, tuple[Any, ...]]) -> socket.socket:
        family, kind, proto, _, address = info
        fault = fault_of(str(address[0]), allowed, secure=secure)
        if fault is not None:
            raise ForbiddenAddressError(fault)
        return socket.socket(family, kind, proto)

    return socket_to


class Client:
    """Connections to one endpoint. Open it in a running event loop."""

    def __init__(self, url: str, allowed: Sequence[Network], timeout_seconds: float) -> None:
        self._url, secure = url, urlsplit(url).scheme == "https"
        connector = aiohttp.TCPConnector(
            limit=CONCURRENT_MAX,
            resolver=CheckedResolver(allowed, secure=secure),
            # The library asks its resolver for names only.
            socket_factory=checked_sockets(allowed, secure=secure),
            ttl_dns_cache=RESOLVED_SECONDS,
            keepalive_timeout=IDLE_SECONDS,
        )
        # No proxy of the environment, no cookies, and an answer that is packed stays packed.
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=timeout_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send one request. A redirect is not followed. Raises nothing: whatever goes wrong is an answer without a status."""
        try:
            async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                text = await _beginning(response)
                return Answer(response.status, text, response.headers.get("Retry-After", ""))
        except TimeoutError:
            return Answer(None, "no answer in time")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(None, _reason(error))

    async def close(self) -> None:
        await self._session.close()


async def _beginning(response: aiohttp.ClientResponse) -> str:
    """The beginning of the body. The status has arrived, so a body that breaks off changes nothing."""
    read = b""
    with suppress(aiohttp.ClientError, OSError, TimeoutError):
        while len(read) < ANSWER_BYTES_MAX and (part := await response.content.read(ANSWER_BYTES_MAX - len(read))):
            read += part
    # Postgres accepts no NUL in a text.
    return read.decode(errors="replace").replace("\0", "\ufffd")


def _reason(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ForbiddenAddressError):
            return str(cause)
        cause = cause.__cause__ or (cause.__context__ if not cause.__suppress_context__ else None)
    text = f"{type(error).__name__}: {error}".removesuffix(": ")[:ANSWER_BYTES_MAX]
    # Bytes of an answer that are not UTF-8 may be in it as surrogates, which Postgres refuses as well.
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")
