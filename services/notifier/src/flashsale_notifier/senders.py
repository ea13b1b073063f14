"""One sender for each enabled endpoint, as the table of endpoints says."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from flashsale_core.errors import Retryable
from flashsale_core.shop_events import ENDPOINTS_MAX
from flashsale_core.tasks import cancel_and_wait
from flashsale_notifier.repository import Repository
from flashsale_notifier.rows import Endpoint
from flashsale_notifier.sender import Sender

LOOK_SECONDS = 2.0
"""How often the table is read."""
log = logging.getLogger(__name__)


class Senders:
    def __init__(self, repository: Repository, open_sender: Callable[[Endpoint], Sender]) -> None:
        self._repository = repository
        self._open_sender = open_sender
        self._senders: dict[str, tuple[Sender, asyncio.Task[None]]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self.fault: str | None = "the endpoints were not read yet"
        """Why endpoints are not served as the table says, as a text for people."""

    def wake(self, endpoints: Iterable[str]) -> None:
        """New deliveries of these endpoints are due."""
        for name in endpoints:
            if name in self._senders:
                self._senders[name][0].wake()

    def stop(self) -> None:
        """Begin no further attempt; `run` returns once those that run are over."""
        self._stopping.set()

    async def run(self) -> None:
        try:
            while not self._stopping.is_set():
                await self._look()
                try:
                    await asyncio.wait_for(self._stopping.wait(), LOOK_SECONDS)
                except TimeoutError:
                    continue
            await self._end()
        finally:
            await cancel_and_wait(*(task for _, task in self._senders.values()), *self._ending)
            self._senders.clear()

    async def _look(self) -> None:
        try:
            endpoints = await self._repository.endpoints()
        except Retryable as error:
            self.fault = str(error)
            return
        if len(endpoints) > ENDPOINTS_MAX:
            log.error("endpoints.too_many", extra={"endpoints": len(endpoints), "served": ENDPOINTS_MAX})
        self._replace({endpoint.name: endpoint for endpoint in endpoints[:ENDPOINTS_MAX]})
        self.fault = None

    def _replace(self, wanted: dict[str, Endpoint]) -> None:
        """Start and end senders. One whose endpoint changed, or which failed, is replaced."""
        for name, (sender, task) in list(self._senders.items()):
            if task.done() or wanted.get(name) != sender.endpoint:
                sender.stop()
                del self._senders[name]
                # What runs is finished by itself: attempts are bounded by their timeout.
                self._keep(task)
        for name, endpoint in wanted.items():
            if name not in self._senders:
                sender = self._open_sender(endpoint)
                self._senders[name] = (sender, asyncio.create_task(sender.run(), name=f"sender {name}"))
                # Without path and query, which may have a token of the shop.
                log.info("endpoint.served", extra={"endpoint": name, "host": urlsplit(endpoint.url).hostname})

    async def _end(self) -> None:
        for sender, task in self._senders.values():
            sender.stop()
            # A failure is logged there: gather only keeps it from hiding the others.
            self._keep(task)
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _keep(self, task: "asyncio.Task[None]") -> None:
        self._ending.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._ending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("sender.failed", exc_info=error)
