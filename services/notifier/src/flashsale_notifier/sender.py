"""Sends the due deliveries of one endpoint, a few at once. It shares nothing with other endpoints that a dead one could use up."""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from flashsale_core.errors import Retryable
from flashsale_core.networks import Network
from flashsale_core.tasks import cancel_and_wait
from flashsale_notifier import metrics
from flashsale_notifier.client import CONCURRENT_MAX, Answer, Client
from flashsale_notifier.recorder import Recorder
from flashsale_notifier.repository import Repository
from flashsale_notifier.retries import DeliveryState, Verdict, judge
from flashsale_notifier.rows import Attempt, Endpoint, Taken
from flashsale_notifier.signing import signed_headers

POLL_SECONDS = 1.0
"""How often due deliveries are looked for that nobody announced: retries, replays, and what another notifier wrote."""
LEASE_MARGIN_SECONDS = 5.0
PAUSE_SECONDS_MAX = 60.0
"""Longest pause of a whole endpoint that asked for one."""
log = logging.getLogger(__name__)


class Sender:
    def __init__(
        self,
        endpoint: Endpoint,
        repository: Repository,
        recorder: Recorder,
        allowed: Sequence[Network],
        timeout_seconds: float,
        retries_seconds: Sequence[float],
    ) -> None:
        """Call in a running event loop."""
        self.endpoint = endpoint
        self._repository, self._recorder = repository, recorder
        self._client = Client(endpoint.url, allowed, timeout_seconds)
        self._lease_seconds = timeout_seconds + LEASE_MARGIN_SECONDS
        self._retries_seconds = retries_seconds
        self._running: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._pause_until = 0.0
        self._stopping = False

    def wake(self) -> None:
        """New deliveries may be due."""
        self._wake.set()

    def stop(self) -> None:
        """Begin no further attempt; `run` returns once those that run are over."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Send until `stop`. A cancellation abandons what runs: it is repeated after its lease."""
        try:
            while not self._stopping:
                await self._begin_attempts()
                await self._wait()
            if self._running:
                await asyncio.wait(self._running)
        finally:
            await cancel_and_wait(*self._running)
            await self._client.close()

    async def _begin_attempts(self) -> None:
        """Fill the free places with deliveries that are due."""
        free = CONCURRENT_MAX - len(self._running)
        if not free or time.monotonic() < self._pause_until:
            return
        self._wake.clear()
        try:
            taken = await self._repository.take(self.endpoint.name, free, self._lease_seconds)
        except Retryable as error:
            log.warning("deliveries.waiting", extra={"endpoint": self.endpoint.name, "reason": str(error)})
            return
        for delivery in taken:
            task = asyncio.create_task(self._attempt(delivery))
            self._running.add(task)
            task.add_done_callback(self._ended)
        if len(taken) == free:
            # There may be more.
            self._wake.set()

    async def _wait(self) -> None:
        """Until there is something to do: a free place, and deliveries that are due or may be."""
        if len(self._running) >= CONCURRENT_MAX:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            return
        pause = self._pause_until - time.monotonic()
        if pause > 0:
            await asyncio.sleep(min(pause, POLL_SECONDS))
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("delivery.failed", extra={"endpoint": self.endpoint.name}, exc_info=error)

    async def _attempt(self, delivery: Taken) -> None:
        name, body, started = self.endpoint.name, delivery.body.encode(), time.perf_counter()
        answer = await self._client.post(body, signed_headers(delivery.event_id, int(time.time()), body, self.endpoint.secrets))
        seconds = time.perf_counter() - started
        verdict = self._judge(answer, delivery)
        self._count(verdict, delivery, seconds)
        await self._recorder.record(Attempt(delivery, name, answer.status, round(seconds * 1000), answer.text, verdict))
        if verdict.state is not DeliveryState.SENT:
            fields = {"endpoint": name, "event_id": delivery.event_id, "tries": delivery.tries, "status": answer.status}
            log.info("delivery.refused", extra={**fields, "next_seconds": round(verdict.delay_seconds), "answer": answer.text[:200]})

    def _judge(self, answer: Answer, delivery: Taken) -> Verdict:
        jitter, now = random.random(), datetime.now(UTC)  # noqa: S311 - it only spreads the load
        verdict = judge(answer.status, answer.retry_after, delivery.tries, jitter, now, self._retries_seconds)
        if verdict.pause_seconds:
            self._pause_until = time.monotonic() + min(verdict.pause_seconds, PAUSE_SECONDS_MAX)
        return verdict

    def _count(self, verdict: Verdict, delivery: Taken, seconds: float) -> None:
        metrics.ATTEMPTS.labels(self.endpoint.name, verdict.state.value).inc()
        metrics.ATTEMPT_SECONDS.labels(self.endpoint.name).observe(seconds)
        if verdict.state is DeliveryState.SENT:
            age_seconds = (datetime.now(UTC) - delivery.created_at).total_seconds()
            metrics.DELIVERY_SECONDS.labels(self.endpoint.name).observe(max(0.0, age_seconds))
