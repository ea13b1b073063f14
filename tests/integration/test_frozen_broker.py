"""A broker that freezes at any step of a session: relay, consumers and probes report it, and recover when it thaws.

All steps of a test run at the same time, each with its own broker, because each has to wait for the same timeouts.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import aiormq.connection
import pytest
from aio_pika.exceptions import AMQPError

from flashsale_consumer import Consumer, ConsumerSettings, Delivery, Poison
from flashsale_consumer import metrics as consumer_metrics
from flashsale_core import topology
from flashsale_core.records import Entry
from flashsale_core.scripts import read_scripts
from flashsale_core.settings import Environment
from flashsale_core.supervise import RESTARTS, Supervised
from flashsale_core.tracing import Tracing
from flashsale_gateway import metrics as gateway_metrics
from flashsale_gateway.outbox.publisher import Publisher
from flashsale_gateway.outbox.relay import Relay
from flashsale_gateway.settings import read_settings as read_gateway_settings
from flashsale_redis import open_redis
from flashsale_timeout_worker import wait_probes
from flashsale_timeout_worker.settings import read_settings as read_worker_settings
from flashsale_timeout_worker.wait_probes import WaitProbes
from tests import waiting
from tests.integration.broker import Broker, open_broker
from tests.integration.frozen import HEADER, FreezingServer, freezing_broker

TIMEOUT_SECONDS = 1.0
"""The services' timeout for the broker."""
DEADLINE_SECONDS = 60.0
until = partial(waiting.until, timeout_seconds=DEADLINE_SECONDS, poll_seconds=0.02)
THAWS = 4
"""Brokers that thaw at the same time: a busy machine could not open more sessions in time."""
Step = tuple[str, int]
OPENING = [HEADER, "Connection.StartOk", "Connection.TuneOk", "Connection.Open", "Channel.Open", "Confirm.Select"]
RELAY: Sequence[Step] = [
    *((step, 1) for step in (*OPENING, "Exchange.Declare", "Queue.Declare", "Basic.Publish")), ("Queue.Declare", 7), ("Basic.Publish", 2),
]  # fmt: skip
CONSUMER: Sequence[Step] = [
    *((step, nth) for step in OPENING for nth in (1, 2)),
    *((step, 1) for step in ("Exchange.Declare", "Basic.Qos", "Queue.Declare", "Basic.Consume", "Basic.Ack")),
]
WAITS: Sequence[Step] = [
    *((step, 1) for step in (*OPENING, "Exchange.Declare", "Queue.Declare", "Basic.Publish")), ("Queue.Declare", 3), ("Basic.Publish", 2),
]  # fmt: skip


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats alone show an open connection that its broker is frozen: make them take 2 s instead of 33."""
    monkeypatch.setattr(aiormq.connection.Connection, "HEARTBEAT_GRACE_MULTIPLIER", 1)
    monkeypatch.setattr("flashsale_core.broker.HEARTBEAT_SECONDS", 1)
    monkeypatch.setattr("flashsale_core.backoff.RECONNECT_PAUSES_SECONDS", (0.1,))
    monkeypatch.setattr(wait_probes, "RETRY_SECONDS", 0.1)


async def each(scenes: Mapping[Step, Coroutine[Any, Any, None]]) -> None:
    """Run all scenes at the same time; a failure names its step."""
    ends = await asyncio.gather(*scenes.values(), return_exceptions=True)
    assert {step: repr(end) for step, end in zip(scenes, ends, strict=True) if end is not None} == {}


class Stage:
    """Synchronises the scenes: once all brokers are frozen and all services have reported it, nothing is up; then the brokers thaw."""

    def __init__(self, scenes: int, up: Callable[[], float]) -> None:
        self._meet = asyncio.Barrier(scenes)
        self._turns = asyncio.Semaphore(THAWS)
        self._up = up

    async def freeze(self, broker: FreezingServer, reported: Callable[[], object]) -> None:
        try:
            await until(broker.frozen.is_set)
            await until(reported)
            async with asyncio.timeout(DEADLINE_SECONDS):
                await self._meet.wait()
            assert self._up() == 0
        except BaseException:
            # The other scenes need not wait for this one.
            await self._meet.abort()
            raise

    @asynccontextmanager
    async def thaw(self, broker: FreezingServer) -> AsyncIterator[None]:
        async with self._turns:
            broker.thaw()
            yield


def value(gauge: Any) -> float:
    return max((sample.value for metric in gauge.collect() for sample in metric.samples), default=0.0)


def restarts(supervised: Supervised) -> float:
    """How often it was restarted after an unexpected end."""
    samples = [sample for metric in RESTARTS.collect() for sample in metric.samples if sample.name.endswith("_total")]
    return next(sample.value for sample in samples if sample.labels == {"task": supervised.name})


def interrupted(caplog: pytest.LogCaptureFixture, **fields: str) -> Callable[[], bool]:
    """A condition: the log contains a warning with these fields."""
    return lambda: any(
        record.levelno >= logging.WARNING and all(vars(record).get(name) == wanted for name, wanted in fields.items())
        for record in caplog.records
    )


@asynccontextmanager
async def relaying(infra: Mapping[str, str], amqp_url: str, name: str) -> AsyncIterator[tuple[Publisher, Supervised]]:
    settings = replace(read_gateway_settings(Environment(infra)), amqp_url=amqp_url, relay_block_ms=50,
                       relay_publish_timeout_seconds=TIMEOUT_SECONDS)  # fmt: skip
    publisher, redis = Publisher(settings, Tracing(None)), open_redis(settings.redis_url, 5, 8)
    worker = Relay(redis, read_scripts(Path(infra["FLASHSALE_LUA_DIR"])), settings, name, publisher)
    supervised = Supervised(f"relay {name}", worker.run)
    try:
        yield publisher, supervised
    finally:
        worker.stop()
        await supervised.finish(DEADLINE_SECONDS)
        await worker.leave()
        await redis.aclose()


async def is_published(publisher: Publisher) -> bool:
    with suppress(TimeoutError, OSError, AMQPError):
        await publisher.publish([Entry("", "1-0", "sale.defined", b"{}")])
        return True
    return False


async def test_relay_recovers_from_a_freeze_at_any_step(infra: Mapping[str, str], caplog: pytest.LogCaptureFixture) -> None:
    async def play(stage: Stage, step: Step) -> None:
        name = f"{step[0]} {step[1]}"
        async with freezing_broker(infra["AMQP_URL"], *step) as (broker, url), relaying(infra, url, name) as (publisher, supervised):
            if step == ("Basic.Publish", 2):
                await until(lambda: publisher.ready)
                await is_published(publisher)
            await stage.freeze(broker, interrupted(caplog, message="relay.interrupted", consumer=name))
            async with stage.thaw(broker), asyncio.timeout(DEADLINE_SECONDS):
                while not await is_published(publisher):  # noqa: ASYNC110 - the condition depends on a broker
                    await asyncio.sleep(0.02)
            assert restarts(supervised) == 0

    stage = Stage(len(RELAY), lambda: value(gateway_metrics.BROKER_UP))
    await each({step: play(stage, step) for step in RELAY})


async def test_consumer_recovers_from_a_freeze_at_any_step(infra: Mapping[str, str], caplog: pytest.LogCaptureFixture) -> None:
    async def play(stage: Stage, step: Step, broker: Broker) -> None:
        consumed: list[Delivery] = []
        # The consumer that needs a message to reach its step has its own queue, so that it does not take those of the others.
        queue = topology.PARKED_ORDERS_QUEUE if step == ("Basic.Ack", 1) else topology.ORDERS_QUEUE

        async def handle(batch: Sequence[Delivery]) -> Sequence[Poison]:
            consumed.extend(batch)
            return []

        async with freezing_broker(infra["AMQP_URL"], *step) as (frozen, url):
            consumer = Consumer(ConsumerSettings(url, queue, 16, 1_000_000, 10, TIMEOUT_SECONDS), handle)
            at_first = consumer.fault
            supervised = Supervised(f"{queue} {step}", consumer.run)
            try:
                if step == ("Basic.Ack", 1):
                    await broker.publish(queue, b"one")
                await stage.freeze(frozen, lambda: consumer.fault not in (at_first, None))
                consumed.clear()
                async with stage.thaw(frozen), asyncio.timeout(DEADLINE_SECONDS):
                    while not consumed:
                        # Any consumer of the queue may get it: they take turns.
                        await broker.publish(queue, b"two")
                assert (consumer.fault, restarts(supervised)) == (None, 0)
            finally:
                consumer.stop()
                await supervised.finish(DEADLINE_SECONDS)

    stage = Stage(len(CONSUMER), lambda: value(consumer_metrics.CONSUMER_UP))
    async with open_broker(infra["AMQP_URL"]) as broker:
        await each({step: play(stage, step, broker) for step in CONSUMER})
        await broker.purge()
    assert sum(record.message == "consumer.interrupted" for record in caplog.records) >= len(CONSUMER)


async def test_wait_probes_recover_from_a_freeze_at_any_step(infra: Mapping[str, str], caplog: pytest.LogCaptureFixture) -> None:
    async def play(stage: Stage, step: Step) -> None:
        async with freezing_broker(infra["AMQP_URL"], *step) as (broker, url):
            settings = replace(read_worker_settings(Environment(infra)), amqp_url=url, amqp_timeout_seconds=TIMEOUT_SECONDS)
            redis = open_redis(settings.redis_url, 5, 4)
            tried = WaitProbes(redis, settings)
            supervised = Supervised(f"waits {step}", tried.run)
            try:
                await stage.freeze(broker, lambda: "cannot be probed" in str(tried.fault))
                # No worker marks probes as returned here: the test is whether they are sent again.
                async with stage.thaw(broker):
                    await until(lambda: "cannot be probed" not in str(tried.fault))
                assert restarts(supervised) == 0
            finally:
                await supervised.end()
                await redis.aclose()

    stage = Stage(len(WAITS), lambda: 0.0)
    await each({step: play(stage, step) for step in WAITS})
    assert interrupted(caplog, message="waits.interrupted")()


def test_worker_stops_in_time_although_the_broker_is_frozen(infra: Mapping[str, str]) -> None:
    async def handle(_: Sequence[Delivery]) -> Sequence[Poison]:
        return []

    async def play(step: Step) -> None:
        async with freezing_broker(infra["AMQP_URL"], *step) as (broker, url):
            consumer = Consumer(ConsumerSettings(url, topology.ORDERS_QUEUE, 16, 1_000_000, 10, TIMEOUT_SECONDS), handle)
            consumes = asyncio.create_task(consumer.run())
            await until(lambda: consumer.fault is None)
            consumer.stop()
            async with asyncio.timeout(DEADLINE_SECONDS):
                await consumes
            assert broker.frozen.is_set()

    steps = [("Basic.Cancel", 1), ("Connection.Close", 1)]
    # A loop that ends with the scenes, as a worker's does: tasks that still close a connection then may ignore their cancellation.
    asyncio.run(each({step: play(step) for step in steps}))
