"""The order-worker through outages: Postgres, RabbitMQ, its queue or the worker itself goes away, and every order is written."""

import asyncio
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping

import asyncpg

from flashsale_core import topology
from flashsale_core.messages import encode
from flashsale_core.tracing import Tracing
from flashsale_local_stack import Stack
from flashsale_order_worker.handlers import OrderEvents
from tests.integration.broker import consuming, control, counted, open_broker, until
from tests.integration.ledger import Ledger, open_ledger
from tests.integration.order_events import QUEUE, at_work, consumer, open_repository, reserved


async def test_everything_is_written_after_postgres_was_away(infra_stack: Stack, infra: Mapping[str, str]) -> None:
    url = infra["DATABASE_URL"]
    async with open_broker(infra["AMQP_URL"]) as broker, open_repository(url) as repository:
        async with open_ledger(url):
            pass
        working = consumer(infra, OrderEvents(repository, Tracing(None)))
        async with consuming(working):
            await broker.publish(QUEUE, encode(reserved("before")))
            await until(lambda: _counts(url, 1))
            await asyncio.to_thread(infra_stack.kill, "postgres")
            await broker.publish(QUEUE, *[encode(reserved(f"o{number}")) for number in range(100)])
            await until(lambda: (working.fault or "").startswith("Postgres"))
            await asyncio.to_thread(infra_stack.start, "postgres")
            await until(lambda: _counts(url, 101))
            await until(lambda: working.fault is None)
        assert [await broker.take_all(queue) for queue in (QUEUE, topology.PARKED_ORDERS_QUEUE)] == [[], []]


async def test_consuming_resumes_after_the_broker_was_away(infra_stack: Stack, infra: Mapping[str, str]) -> None:
    url = infra["DATABASE_URL"]
    async with open_ledger(url) as ledger, open_repository(url) as repository:
        async with open_broker(infra["AMQP_URL"]) as broker:
            await broker.publish(QUEUE, encode(reserved("before")))
        async with consuming(consumer(infra, OrderEvents(repository, Tracing(None)))):
            await until(lambda: counted(ledger.count(), 1))
            await asyncio.to_thread(infra_stack.restart, "rabbitmq")
            async with open_broker(infra["AMQP_URL"]) as broker:
                await broker.publish(QUEUE, encode(reserved("after")))
            await until(lambda: counted(ledger.count(), 2))


async def test_deleted_queue_is_reported_and_consumed_again_once_it_exists(infra_stack: Stack, infra: Mapping[str, str]) -> None:
    async with at_work(infra) as (broker, ledger, handle):
        working = consumer(infra, handle)
        async with consuming(working):
            await broker.publish(QUEUE, encode(reserved("before")))
            await until(lambda: counted(ledger.count(), 1))
            await asyncio.to_thread(control, infra_stack, "delete_queue", QUEUE)
            await until(lambda: "NOT_FOUND" in (working.fault or ""))
            definitions = infra_stack.home / "rabbitmq" / "definitions.json"
            await asyncio.to_thread(control, infra_stack, "import_definitions", str(definitions))
            await broker.publish(QUEUE, encode(reserved("after")))
            await until(lambda: counted(ledger.count(), 2))
        assert working.fault is None


async def test_missing_queue_is_named(infra: Mapping[str, str]) -> None:
    async with at_work(infra) as (_, _, handle):
        lost = consumer(infra, handle, queue="no-such-queue")
        async with consuming(lost):
            await until(lambda: "NOT_FOUND" in (lost.fault or ""))
        fault = str(lost.fault)
    assert "'no-such-queue'" in fault


async def test_work_survives_kill_9_and_the_process_ends_on_sigterm(infra: Mapping[str, str]) -> None:
    url = infra["DATABASE_URL"]
    async with open_broker(infra["AMQP_URL"]) as broker, open_ledger(url) as ledger:
        messages = [reserved(*[f"o{number}-{line}" for line in range(50)]) for number in range(200)]
        await broker.publish(QUEUE, *map(encode, messages))
        first = start(infra, batch_messages=4)
        await until(lambda: _at_least(ledger, 50))
        first.send_signal(signal.SIGKILL)
        first.wait()
        before = await ledger.count()
        second = start(infra, batch_messages=4)
        try:
            await until(lambda: counted(ledger.count(), 10_000))
            await until(lambda: asyncio.to_thread(is_ready, second.args))
        finally:
            second.send_signal(signal.SIGTERM)
            ended = await asyncio.to_thread(second.wait, 60)
        assert (before < 10_000, ended, await ledger.count("order_events")) == (True, 0, 10_000)
        assert [await broker.take_all(queue) for queue in (QUEUE, topology.PARKED_ORDERS_QUEUE)] == [[], []]


def start(infra: Mapping[str, str], batch_messages: int) -> "subprocess.Popen[bytes]":
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**infra, "FLASHSALE_PROBE_PORT": str(port), "FLASHSALE_ORDER_WORKER_BATCH_MESSAGES": str(batch_messages), "PATH": ""}
    # The port stands in the arguments too, where `is_ready` reads it; the worker looks at none.
    command = [sys.executable, "-m", "flashsale_order_worker", str(port)]
    return subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)


def is_ready(command: object) -> bool:
    assert isinstance(command, list)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{command[-1]}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


async def _at_least(ledger: Ledger, wanted: int) -> bool:
    return await ledger.count() >= wanted


async def _counts(database_url: str, wanted: int) -> bool:
    connection = await asyncpg.connect(database_url)
    try:
        return await Ledger(connection).count() == wanted
    finally:
        await connection.close()
