"""Waits until every order-worker has written what it took from the queue `orders`, not only the one that read the drain's marker.

RabbitMQ tells how many consumers a queue has, including those that froze or died unnoticed. It tells neither who they are nor what they
hold. So markers follow each look at the queue, and the ledger has them with the consumer that read each (docs/decisions/0070).
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from aio_pika.abc import AbstractChannel

from flashsale_core import topology
from flashsale_recovery.ledger import Ledger
from flashsale_recovery.markers import send_markers, until_answered

POLL_SECONDS = 0.05
ROUND_SECONDS = 1.0
"""How long the markers of one look are waited for: a consumer may end meanwhile, and then only the next look shows it."""
MARKERS_EACH = 2
"""Markers for each consumer: RabbitMQ distributes messages in turn, but other messages are among them."""
Say = Callable[[str], None]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class QueueLook:
    """The queue `orders` at one moment."""

    ready: int
    """Messages that no consumer has."""
    consumers: int
    before: frozenset[str]
    """Consumers that had written an earlier marker."""

    def is_proof(self, since: frozenset[str]) -> bool:
        """Whether all that was in the queue is written. `since` are the consumers that have written a marker that was sent after the look.

        Who wrote one before and one after was a consumer at the look, and has written all that it had then. If the queue
        had no more consumers than these, nobody else had a message, and none waited for a consumer.
        """
        return self.ready == 0 and len(self.before & since) == self.consumers


@dataclass(frozen=True, slots=True)
class WorkersCheck:
    ledger: Ledger
    amqp_url: str
    amqp_timeout_seconds: float
    say: Say

    async def run(self, limit_seconds: float) -> bool:
        """Wait until all that was in the queue before the call is in the ledger, at most `limit_seconds`. Returns whether it is proved."""
        try:
            async with asyncio.timeout(limit_seconds) as limit:
                await self._run()
        except TimeoutError:
            if not limit.expired():
                raise
            log.warning("drain.workers_unknown", extra={"seconds": round(limit_seconds, 1)})
            return False
        return True

    async def _run(self) -> None:
        self.say("waiting until every order-worker has written what it has")
        sent: list[str] = []
        while True:
            before = await self.ledger.marker_consumers(sent)
            look, markers = await until_answered(partial(self._look, before), self.amqp_url, self.amqp_timeout_seconds)
            sent += markers
            ends_at = time.monotonic() + ROUND_SECONDS
            since: frozenset[str] = frozenset()
            while len(since) < look.consumers and time.monotonic() < ends_at:
                await asyncio.sleep(POLL_SECONDS)
                since = await self.ledger.marker_consumers(markers)
            if look.is_proof(since):
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _look(self, before: frozenset[str], channel: AbstractChannel) -> tuple[QueueLook, Sequence[str]]:
        """Look at the queue, and then send markers."""
        queue = (await channel.declare_queue(topology.ORDERS_QUEUE, passive=True)).declaration_result
        look = QueueLook(queue.message_count or 0, queue.consumer_count or 0, before)
        markers = [str(uuid.uuid4()) for _ in range(MARKERS_EACH * look.consumers)]
        await send_markers(channel, markers)
        return look, markers
