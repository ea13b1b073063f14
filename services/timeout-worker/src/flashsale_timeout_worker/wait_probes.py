"""Checks that messages return from RabbitMQ's wait queues: a probe through each wait queue must return.

A policy makes a wait queue hold messages and then dead-letter them, and a client cannot read policies. So each worker sends a message that
expires after a millisecond into each wait queue. With the policy the broker dead-letters it to the workers, without it the message is lost.
Whichever worker receives the probe marks it in Redis, where its sender looks. Without the policies the sweeper alone still releases units,
but the probes report the fault before a sale.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from redis.asyncio import Redis
from redis.exceptions import RedisError

from flashsale_core import crash, topology
from flashsale_core.broker import broker_session
from flashsale_core.errors import Retryable
from flashsale_core.faults import Server, describe_error
from flashsale_core.keys import WAITS
from flashsale_core.messages import WaitProbed, encode
from flashsale_core.tasks import only_own_cancellation, within
from flashsale_redis import now_ms, server_of
from flashsale_timeout_worker import metrics
from flashsale_timeout_worker.settings import Settings
from flashsale_timeout_worker.wait_verdicts import WaitVerdicts

PROBE_LIFE = timedelta(milliseconds=1)
POLL_SECONDS = 0.05
RETRY_SECONDS = 2.0
# A script, because a full Redis refuses the plain command, and a probe that cannot be marked would be redelivered for ever.
MARK_RETURNED = "#!lua flags=allow-oom\nreturn redis.call('HSET', KEYS[1], unpack(ARGV))"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WaitProbe:
    """A probe that was sent. Both times are Unix ms of Redis' clock."""

    sent_ms: int
    due_ms: int

    def is_answered(self, returned_ms: int | None) -> bool:
        """Whether this probe or a later one returned after this one was sent."""
        return returned_ms is not None and returned_ms >= self.sent_ms


def due_ms(sent_ms: int, window_seconds: int, messages_ahead: int, timeout_seconds: float) -> int:
    """When a probe must have returned, in Unix ms.

    Behind other messages it waits as long as they do: at most one payment window in the wait queue, and one in `payment.timeout`.
    """
    waiting_seconds = 2 * window_seconds if messages_ahead else 0
    return sent_ms + int((waiting_seconds + timeout_seconds) * 1000)


class WaitProbes:
    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._probes: dict[int, WaitProbe] = {}
        """Probes that have not returned, by payment window in seconds."""
        self._missed: dict[int, WaitProbe] = {}
        """The first probe of each window that did not return in time, until it or a later one returns."""
        self._verdicts = WaitVerdicts()
        self._round_fault: str | None = "RabbitMQ: the wait queues have not been probed yet"

    @property
    def fault(self) -> str | None:
        """Why messages do not return from a wait queue, with the name of the missing policy; None while no fault is known."""
        return self._round_fault or next(map(_lost, sorted(self._verdicts.lost)), None)

    async def run(self) -> None:
        """Send probes at intervals until cancelled."""
        while True:
            try:
                with only_own_cancellation():
                    await self._probe_on_one_connection()
            except Exception as error:
                # Broad on purpose: after any failure of the broker or Redis, the next round sends new probes.
                self._round_fault = f"the wait queues cannot be probed: {describe_error(server_of(error), error)}"
                self._probes.clear()
                log.warning("waits.interrupted", extra={"reason": self._round_fault})
                await asyncio.sleep(RETRY_SECONDS)

    async def mark_returned(self, windows: Sequence[int]) -> None:
        """Record in Redis that probes of these windows returned. Raises Retryable when Redis is away."""
        try:
            async with asyncio.timeout(self._settings.redis_timeout_seconds):
                now_ms = await self._now_ms()
                returns = chain.from_iterable((str(window), str(now_ms)) for window in windows)
                await self._redis.eval(MARK_RETURNED, 1, WAITS, *returns)
        except (RedisError, OSError, TimeoutError) as error:
            raise Retryable(describe_error(Server.REDIS, error), self._settings.retry_seconds) from error

    async def _probe_on_one_connection(self) -> None:
        """Send probes until the connection has ended.

        A new connection for each round would find its password replaced while the consumer still works (docs/decisions/0043).
        """
        async with broker_session(aio_pika.connect, self._settings.amqp_url, self._settings.amqp_timeout_seconds) as connection:
            while True:
                await self._round(connection)
                self._round_fault = None
                is_certain = self._verdicts.is_certain(len(self._settings.payment_windows))
                await asyncio.sleep(self._settings.probe_interval_seconds if is_certain else RETRY_SECONDS)
                if connection.is_closed:
                    return

    async def _round(self, connection: AbstractConnection) -> None:
        channels = connection.channel(publisher_confirms=True, on_return_raises=True)
        async with within(self._settings.amqp_timeout_seconds, "sending the probes"), channels as channel:
            await self._send(channel)
        for _ in range(int(self._settings.probe_timeout_seconds / POLL_SECONDS) + 2):
            await asyncio.sleep(POLL_SECONDS)
            if not await self._collect():
                break

    async def _send(self, channel: AbstractChannel) -> None:
        exchange = await channel.get_exchange(topology.PROBES_EXCHANGE, ensure=True)
        overdue = await channel.declare_queue(topology.TIMEOUT_QUEUE, passive=True)
        for window in self._settings.payment_windows:
            if window in self._probes:
                continue
            queue = await channel.declare_queue(topology.wait_queue(window), passive=True)
            now_ms = await self._now_ms()
            body = encode(WaitProbed(v=1, window=window, at=now_ms))
            await exchange.publish(aio_pika.Message(body, expiration=PROBE_LIFE), str(window), mandatory=True)
            crash.point("probe.published")
            ahead = (queue.declaration_result.message_count or 0) + (overdue.declaration_result.message_count or 0)
            self._probes[window] = WaitProbe(now_ms, due_ms(now_ms, window, ahead, self._settings.probe_timeout_seconds))

    async def _collect(self) -> bool:
        """Conclude the probes that returned or are overdue; returns whether another one may return in this round."""
        windows = sorted({*self._probes, *self._missed})
        if not windows:
            return False
        now_ms = await self._now_ms()
        returns: list[Any] = await self._redis.hmget(WAITS, list(map(str, windows)))
        for window, answer in zip(windows, returns, strict=True):
            self._conclude(window, now_ms, int(answer) if answer else None)
        soon_ms = now_ms + self._settings.probe_timeout_seconds * 1000
        return any(probe.due_ms <= soon_ms for probe in self._probes.values())

    def _conclude(self, window: int, now_ms: int, returned_ms: int | None) -> None:
        probe, missed = self._probes.get(window), self._missed.get(window)
        # What returns late has returned: on a slow machine each probe may, and no policy is missing.
        if any(sent is not None and sent.is_answered(returned_ms) for sent in (probe, missed)):
            self._missed.pop(window, None)
            self._verdicts.returned(window)
            metrics.WAIT_UP.labels(str(window)).set(1)
        if probe is None:
            return
        if probe.is_answered(returned_ms):
            del self._probes[window]
        elif now_ms > probe.due_ms:
            self._missed.setdefault(window, self._probes.pop(window))
            if self._verdicts.missed(window):
                metrics.WAIT_UP.labels(str(window)).set(0)
                log.error("waits.lost", extra={"window_seconds": window, "reason": _lost(window)})

    async def _now_ms(self) -> int:
        return await now_ms(self._redis, WAITS)


def _lost(window: int) -> str:
    policy = f"its policy wait-{window} (message-ttl, dead-letter-exchange {topology.TIMEOUTS_EXCHANGE}) is missing"
    return f"RabbitMQ: messages do not return from {topology.wait_queue(window)}: {policy}; {topology.CURE}"
