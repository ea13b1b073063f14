"""Every task of every composed service is restarted when something it waits for is cancelled."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest

from flashsale_consumer import Consumer
from flashsale_consumer import metrics as consumer_metrics
from flashsale_core import supervise, topology
from flashsale_core.messages import OrdersReserved, ReservedLine, encode
from flashsale_core.settings import Environment
from flashsale_core.supervise import RESTARTS
from flashsale_core.tasks import cancel_and_wait
from flashsale_gateway import app
from flashsale_gateway.errors import NotReady
from flashsale_gateway.metrics import BROKER_UP
from flashsale_gateway.outbox.direct import DirectOutbox
from flashsale_gateway.outbox.monitor import Monitor
from flashsale_gateway.outbox.relay import Relay
from flashsale_gateway.settings import read_settings as read_gateway_settings
from flashsale_order_worker import main as order_worker
from flashsale_order_worker.settings import read_settings as read_order_settings
from flashsale_timeout_worker import main as timeout_worker
from flashsale_timeout_worker.settings import read_settings as read_timeout_settings
from flashsale_timeout_worker.sweeper import Sweeper
from flashsale_timeout_worker.wait_probes import WaitProbes
from tests.integration.broker import open_broker, until

Run = Callable[..., Coroutine[Any, Any, None]]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "PAUSES_SECONDS", (0.1,))


def cut_off_once(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """Make the first run end like a task that waits for a connection which aiormq gives up; later runs are unchanged."""
    run: Run = getattr(owner, name)
    ended: list[bool] = []

    async def cut_off(*args: Any) -> None:
        if ended:
            await run(*args)
            return
        ended.append(True)
        waited_for = asyncio.get_running_loop().create_future()
        waited_for.set_exception(asyncio.CancelledError())
        await waited_for

    monkeypatch.setattr(owner, name, cut_off)


def restarts() -> dict[str, float]:
    samples = [sample for metric in RESTARTS.collect() for sample in metric.samples if sample.name.endswith("_total")]
    return {sample.labels["task"]: sample.value for sample in samples}


async def restarted(before: Mapping[str, float], *tasks: str) -> None:
    async def all_once() -> bool:
        return all(restarts().get(task, 0) == before.get(task, 0) + 1 for task in tasks)

    await until(all_once)


async def consumes_from(queue: str) -> None:
    """Wait until a message of `queue` is consumed and acknowledged."""
    batches = consumer_metrics.BATCHES.labels(queue)
    before = batches._value.get()

    async def is_acknowledged() -> bool:
        return bool(batches._value.get() > before)

    await until(is_acknowledged)


MESSAGE = encode(OrdersReserved(v=1, sale="supervised", epoch=1, at=1_000, deadline=5_000, orders=[ReservedLine("o1", "ann", 1)]))


async def test_order_worker_survives_the_end_of_its_tasks(infra: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    cut_off_once(monkeypatch, Consumer, "run")
    cut_off_once(monkeypatch, order_worker, "watch_refunds")
    before = restarts()
    async with open_broker(infra["AMQP_URL"]) as broker:
        await broker.publish(topology.ORDERS_QUEUE, MESSAGE)
        await broker.publish(topology.UNROUTED_QUEUE, MESSAGE)
        settings = read_order_settings(Environment({**infra, "FLASHSALE_PROBE_PORT": "0"}))
        unrouted = consumer_metrics.PARKED_MESSAGES.labels(topology.UNROUTED_QUEUE)

        async def unrouted_is_counted() -> bool:
            return bool(unrouted._value.get() == 1)

        async with running(order_worker.run(settings)):
            await asyncio.gather(restarted(before, "consumer", "refunds"), consumes_from(topology.ORDERS_QUEUE), until(unrouted_is_counted))
        await broker.take_all(topology.UNROUTED_QUEUE)


async def test_timeout_worker_survives_the_end_of_its_tasks(infra: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for owner in (Consumer, WaitProbes, Sweeper):
        cut_off_once(monkeypatch, owner, "run")
    before = restarts()
    async with open_broker(infra["AMQP_URL"]) as broker:
        await broker.publish(topology.TIMEOUT_QUEUE, MESSAGE)
        settings = read_timeout_settings(Environment({**infra, "FLASHSALE_PROBE_PORT": "0"}))
        async with running(timeout_worker.run(settings)):
            await asyncio.gather(restarted(before, "consumer", "waits", "sweeper"), consumes_from(topology.TIMEOUT_QUEUE))


async def test_gateway_is_not_ready_until_its_ended_tasks_are_restarted(infra: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    # The pause before the restart lasts until the test ends it.
    monkeypatch.setattr(supervise, "PAUSES_SECONDS", (3600.0,))
    cut_off_once(monkeypatch, Relay, "run")
    before = restarts()
    async with AsyncExitStack() as stack:
        services, _ = await app._open(read_gateway_settings(Environment(infra)), stack)
        await restarted(before, "relay")
        with pytest.raises(NotReady) as raised:
            await services.readiness.check()
        assert "relay ended and is being restarted: CancelledError" in str(raised.value)
    monkeypatch.setattr(supervise, "PAUSES_SECONDS", (0.1,))
    for owner, name in ((Relay, "run"), (DirectOutbox, "run"), (Monitor, "run")):
        cut_off_once(monkeypatch, owner, name)
    before = restarts()
    async with AsyncExitStack() as stack:
        services, _ = await app._open(read_gateway_settings(Environment(infra)), stack)
        await restarted(before, "relay", "handoff", "watch")

        async def is_ready() -> bool:
            with suppress(NotReady):
                await services.readiness.check()
                return value(BROKER_UP) == 1
            return False

        await until(is_ready)


def value(gauge: Any) -> float:
    return float(gauge._value.get())


@asynccontextmanager
async def running(service: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(service)
    try:
        yield
    finally:
        await cancel_and_wait(task)
