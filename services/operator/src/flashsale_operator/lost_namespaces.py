"""Namespaces that the apiserver does not let the operator watch, mostly because they were deleted, and its Role in them too.

kopf ends at the first of them, after it has tried for four minutes, and with it the work on all other namespaces.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import aiohttp
from kopf._cogs.clients.errors import APIForbiddenError

from flashsale_operator import metrics
from flashsale_operator.apiserver import FlashSales

RETRY_SECONDS = 15.0
Watch = Callable[..., AsyncGenerator[Any, None]]
log = logging.getLogger(__name__)


class LostNamespaces:
    def __init__(self, flash_sales: Callable[[str], FlashSales], retry_seconds: float = RETRY_SECONDS) -> None:
        self._flash_sales = flash_sales
        self._retry_seconds = retry_seconds
        self._names: set[str] = set()

    def __contains__(self, namespace: object) -> bool:
        return namespace in self._names

    async def wait(self, namespace: str, reason: str) -> None:
        """Report the namespace as lost, and return once its FlashSales can be listed again."""
        log.error("namespace.lost", extra={"namespace": namespace, "reason": reason})
        self._names.add(namespace)
        metrics.LOST_NAMESPACES.set(len(self._names))
        try:
            while not await self._is_listed(namespace):  # noqa: ASYNC110 - the apiserver reports nothing of it
                await asyncio.sleep(self._retry_seconds)
        finally:
            self._names.discard(namespace)
            metrics.LOST_NAMESPACES.set(len(self._names))
        log.warning("namespace.returned", extra={"namespace": namespace})

    async def _is_listed(self, namespace: str) -> bool:
        try:
            await self._flash_sales(namespace).generations()
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False
        return True


def with_lost_namespaces(watch: Watch, lost: LostNamespaces) -> Watch:
    """`watch`, but a namespace that is lost is watched again when it has returned, and ends no other watch."""

    async def watch_again(*, namespace: str | None, **options: Any) -> AsyncGenerator[Any, None]:
        while True:
            try:
                async with aclosing(watch(namespace=namespace, **options)) as events:
                    async for event in events:
                        yield event
                return
            except APIForbiddenError as error:
                # Without the right to watch all namespaces, there is nothing to go on with.
                if namespace is None:
                    raise
                reason = str(error)
            await lost.wait(namespace, reason)

    return watch_again
