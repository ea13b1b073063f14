"""Writes the results of attempts, those of several endpoints in one transaction. An attempt's sender waits until its result is written."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial

from flashsale_core.errors import Rejected, Retryable
from flashsale_notifier.repository import Repository
from flashsale_notifier.retries import DeliveryState
from flashsale_notifier.rows import Attempt

BATCH_MAX = 200
log = logging.getLogger(__name__)


class Recorder:
    def __init__(self, repository: Repository, disable_after_seconds: float) -> None:
        self._repository = repository
        self._disable_after_seconds = disable_after_seconds
        self._waiting: asyncio.Queue[tuple[Attempt, asyncio.Future[None]]] = asyncio.Queue()

    async def record(self, attempt: Attempt) -> None:
        """Returns once the result is committed. The number of callers bounds what waits here."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((attempt, written))
        await written

    async def run(self) -> None:
        """Write until cancelled. While Postgres is away, results wait, and no sender begins another attempt."""
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < BATCH_MAX and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            try:
                await self._write([attempt for attempt, _ in batch])
            except BaseException:
                # The next run writes them: their senders wait, and each has only a few places.
                for waiting in batch:
                    self._waiting.put_nowait(waiting)
                raise
            for _, written in batch:
                if not written.done():
                    written.set_result(None)

    async def _write(self, attempts: list[Attempt]) -> None:
        try:
            await _until_done(partial(self._repository.record, attempts))
        except Rejected as error:
            await self._write_halves(attempts, error)
            return
        # A step of its own: repeated together with the results, it would note every attempt a second time.
        await _until_done(partial(self._note_health, attempts))

    async def _write_halves(self, attempts: list[Attempt], error: Rejected) -> None:
        """Write without the result that Postgres refuses: it holds up no other endpoint, and its delivery is due again after its lease."""
        if len(attempts) == 1:
            fields = {"endpoint": attempts[0].endpoint, "event_id": attempts[0].taken.event_id}
            log.error("attempt.rejected", extra={**fields, "reason": error.reason})
            return
        middle = len(attempts) // 2
        await self._write(attempts[:middle])
        await self._write(attempts[middle:])

    async def _note_health(self, attempts: list[Attempt]) -> None:
        """An endpoint that had at least one event in the batch does not fail."""
        sent: defaultdict[str, bool] = defaultdict(bool)
        for attempt in attempts:
            sent[attempt.endpoint] |= attempt.verdict.state is DeliveryState.SENT
        working = [endpoint for endpoint, is_sent in sent.items() if is_sent]
        if working:
            await self._repository.note_success(working)
        if len(working) < len(sent):
            for endpoint in await self._repository.note_failure(set(sent) - set(working), self._disable_after_seconds):
                log.error("endpoint.disabled", extra={"endpoint": endpoint, "reason": "every attempt failed"})
        for endpoint in {attempt.endpoint for attempt in attempts if attempt.verdict.is_gone}:
            if await self._repository.disable_gone(endpoint):
                log.error("endpoint.disabled", extra={"endpoint": endpoint, "reason": "410"})


async def _until_done(step: Callable[[], Awaitable[None]]) -> None:
    """Repeat the step while Postgres is away."""
    while True:
        try:
            return await step()
        except Retryable as error:
            log.warning("attempts.waiting", extra={"reason": str(error)})
            await asyncio.sleep(error.delay_seconds)
