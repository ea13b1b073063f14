"""Posts Kubernetes Events, at a bounded rate. Events inform people: one that is lost does no harm, a flood of them does."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import aiohttp

from flashsale_core.timestamps import rfc3339
from flashsale_operator import metrics
from flashsale_operator.events import Event, event_document
from flashsale_operator.resource import Resource

WAITING_MAX = 500
"""Further Events are dropped and counted. After a change of 10,000 FlashSales, one for each would keep the apiserver busy for minutes."""
PAUSE_SECONDS = 0.05
"""Between two Events: 20 a second at most."""
Post = Callable[[str, dict[str, Any]], Awaitable[None]]
"""Creates an Event in a namespace. Raises aiohttp.ClientError, OSError or TimeoutError."""
log = logging.getLogger(__name__)


class Recorder:
    def __init__(self, post: Post) -> None:
        self._post = post
        self._instance = socket.gethostname()
        self._waiting: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue(WAITING_MAX)

    def record(self, resource: Resource, events: Iterable[Event]) -> None:
        """Never waits."""
        for event in events:
            if self._waiting.full():
                metrics.EVENTS_DROPPED.inc()
                continue
            document = event_document(resource, event, rfc3339(datetime.now(UTC), "seconds"), self._instance)
            self._waiting.put_nowait((resource.namespace, document))

    async def run(self) -> None:
        """Post until cancelled."""
        while True:
            namespace, document = await self._waiting.get()
            try:
                await self._post(namespace, document)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                metrics.EVENTS_DROPPED.inc()
                log.warning("event.not_posted", extra={"event_reason": document["reason"], "reason": f"{type(error).__name__}: {error}"})
            await asyncio.sleep(PAUSE_SECONDS)
