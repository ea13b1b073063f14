"""How a gateway ends after its last request: in a fixed order, and within one limit, whatever its servers do.

No step is needed for safety. What was acknowledged is in Redis until the broker has confirmed it, and what a step leaves there is published
by another gateway after FLASHSALE_RELAY_CLAIM_IDLE_MS, as after a crash. See docs/decisions/0065.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

from flashsale_core.supervise import Supervised
from flashsale_gateway.attester import Attester
from flashsale_gateway.batching import Batcher
from flashsale_gateway.outbox.direct import DirectOutbox
from flashsale_gateway.outbox.publisher import Publisher
from flashsale_gateway.outbox.relay import Relay
from flashsale_gateway.refund_reports import RefundReports

ANSWERED, PUBLISHED, RELAYED, LEFT = 0.4, 0.7, 0.9, 1.0
"""When each step must be over, in parts of the limit: a server that hangs in one step leaves time for the others."""
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Ending:
    """What a gateway ends, and how long that may take."""

    batchers: Sequence[Batcher[Any, Any]]
    reports: RefundReports
    publisher: Publisher
    outbox: DirectOutbox
    relay: Relay
    relaying: Supervised
    attester: Attester
    attesting: Supervised
    timeout_seconds: float
    _started: float = 0.0

    async def run(self) -> None:
        """Answer, publish, then leave, within `timeout_seconds`. Call it once no request arrives any more."""
        self._started = monotonic()
        # Calls of scripts first: they write the entries that are published next.
        answered = await self._answer()
        async with self._until(RELAYED, "publishing"):
            await self.outbox.finish(self._left_seconds(PUBLISHED))
            await self._end_relay()
        await self.attesting.end()
        async with self._until(LEFT, "leaving"):
            # With a call whose outcome is unknown it may hold something, so its attestation stays until it is too old, as after a crash.
            await asyncio.gather(self.relay.leave(), *([self.attester.leave()] if answered else []))

    async def _answer(self) -> bool:
        seconds = self._left_seconds(ANSWERED)
        _, *ends = await asyncio.gather(self.reports.finish(seconds), *[batcher.finish(seconds) for batcher in self.batchers])
        if all(ends):
            return True
        log.warning("end.incomplete", extra={"what": "answering"})
        return False

    async def _end_relay(self) -> None:
        self.relay.stop()
        if self.publisher.connected:
            # Its read may just have been handed entries: it publishes these.
            await self.relaying.finish(self._left_seconds(RELAYED))
        else:
            # It connects or pauses, and holds nothing that it could publish.
            await self.relaying.end()

    def _left_seconds(self, part: float) -> float:
        return max(0.0, self._started + part * self.timeout_seconds - monotonic())

    @asynccontextmanager
    async def _until(self, part: float, what: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._left_seconds(part)):
                yield
        except TimeoutError:
            log.warning("end.incomplete", extra={"what": what})
