"""Whether RabbitMQ gives waits back: a probe through each wait queue must come home.

What makes a wait queue wait and then hand over is a policy, and a client cannot read policies. So each worker sends a message that
lives for a millisecond into each wait queue: with its policy the broker dead-letters it to the workers, without it the message is
gone. Whichever worker gets it notes so in Redis, where the one that asked reads it. Without the policies units still come back, by
the sweeper alone; this is how one learns of it before a sale.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel
from redis.asyncio import Redis
from redis.exceptions import RedisError

from flashsale_core import topology
from flashsale_core.broker import broker_session
from flashsale_core.errors import Retryable
from flashsale_core.faults import Server, describe_error
from flashsale_core.keys import WAITS
from flashsale_core.messages import WaitProbed, encode
from flashsale_core.tasks import only_own_cancellation, within
from flashsale_redis import now_ms, server_of
from flashsale_timeout_worker import metrics
from flashsale_timeout_worker.settings import Settings

PROBE_LIFE = timedelta(milliseconds=1)
POLL_SECONDS = 0.05
RETRY_SECONDS = 5.0
# As a script, because a full server refuses the command, and a probe that cannot be noted would come back for ever.
_NOTE = "#!lua flags=allow-oom\nreturn redis.call('HSET', KEYS[1], unpack(ARGV))"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Question:
    """A probe that was sent, by Redis' clock."""

    asked_ms: int
    due_ms: int

    def answered(self, home_ms: int | None) -> bool:
        """Whether a probe, this one or a later one, came home after this was asked."""
        return home_ms is not None and home_ms >= self.asked_ms


def due_ms(asked_ms: int, window_seconds: int, messages_ahead: int, timeout_seconds: float) -> int:
    """When a probe must be home. A queue is a queue: behind other messages it waits as long as they do, at most a window each way."""
    waits = 2 * window_seconds if messages_ahead else 0
    return asked_ms + int((waits + timeout_seconds) * 1000)


class Waits:
    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._questions: dict[int, Question] = {}
        self._faults: dict[int, str] = {}
        self._broken: str | None = "RabbitMQ: the wait queues were not tried yet"

    @property
    def fault(self) -> str | None:
        """Why waits do not come back, in words that name the policy; None while they do, or while there is no telling."""
        return self._broken or next(iter(self._faults.values()), None)

    async def run(self) -> None:
        """Ask again and again until cancelled."""
        while True:
            try:
                with only_own_cancellation():
                    await self._round()
                self._broken = None
                await asyncio.sleep(RETRY_SECONDS if self._faults else self._settings.probe_interval_seconds)
            except Exception as error:
                # The broad catch is the edge: whatever broker or Redis did, the next round asks anew.
                self._broken = f"the wait queues cannot be tried: {describe_error(server_of(error), error)}"
                self._questions.clear()
                log.warning("waits.interrupted", extra={"reason": self._broken})
                await asyncio.sleep(RETRY_SECONDS)

    async def came_home(self, windows: Sequence[int]) -> None:
        """Note that probes of these windows arrived. Raises Retryable when Redis is away."""
        try:
            async with asyncio.timeout(self._settings.redis_timeout_seconds):
                now_ms = await self._now_ms()
                homes = chain.from_iterable((str(window), str(now_ms)) for window in windows)
                await self._redis.eval(_NOTE, 1, WAITS, *homes)
        except (RedisError, OSError, TimeoutError) as error:
            raise Retryable(describe_error(Server.REDIS, error), self._settings.retry_seconds) from error

    async def _round(self) -> None:
        timeout_seconds = self._settings.amqp_timeout_seconds
        session = broker_session(aio_pika.connect, self._settings.amqp_url, timeout_seconds)
        async with session as connection, within(timeout_seconds, "sending the probes"):
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            await self._ask(channel)
        for _ in range(int(self._settings.probe_timeout_seconds / POLL_SECONDS) + 2):
            await asyncio.sleep(POLL_SECONDS)
            if not await self._listen():
                break

    async def _ask(self, channel: AbstractChannel) -> None:
        exchange = await channel.get_exchange(topology.PROBES_EXCHANGE, ensure=True)
        overdue = await channel.declare_queue(topology.TIMEOUT_QUEUE, passive=True)
        for window in self._settings.payment_windows:
            if window in self._questions:
                continue
            queue = await channel.declare_queue(topology.wait_queue(window), passive=True)
            now_ms = await self._now_ms()
            body = encode(WaitProbed(v=1, window=window, at=now_ms))
            await exchange.publish(aio_pika.Message(body, expiration=PROBE_LIFE), str(window), mandatory=True)
            ahead = (queue.declaration_result.message_count or 0) + (overdue.declaration_result.message_count or 0)
            self._questions[window] = Question(now_ms, due_ms(now_ms, window, ahead, self._settings.probe_timeout_seconds))

    async def _listen(self) -> bool:
        """Judge what is asked; returns whether an answer may come in this round."""
        windows = list(self._questions)
        if not windows:
            return False
        now_ms = await self._now_ms()
        homes: list[Any] = await self._redis.hmget(WAITS, list(map(str, windows)))
        soon_ms = now_ms + self._settings.probe_timeout_seconds * 1000
        for window, home in zip(windows, homes, strict=True):
            question = self._questions[window]
            if question.answered(int(home) if home else None):
                self._judged(window, None)
            elif now_ms > question.due_ms:
                self._judged(window, _lost(window))
        return any(question.due_ms <= soon_ms for question in self._questions.values())

    def _judged(self, window: int, fault: str | None) -> None:
        del self._questions[window]
        metrics.WAIT_UP.labels(str(window)).set(fault is None)
        if fault is None:
            self._faults.pop(window, None)
        else:
            self._faults[window] = fault
            log.error("waits.lost", extra={"window_seconds": window, "reason": fault})

    async def _now_ms(self) -> int:
        return await now_ms(self._redis, WAITS)


def _lost(window: int) -> str:
    policy = f"its policy wait-{window} (message-ttl, dead-letter-exchange {topology.TIMEOUTS_EXCHANGE}) is missing"
    return f"RabbitMQ: nothing comes back from {topology.wait_queue(window)}: {policy}; {topology.CURE}"
