"""The order-worker's composition root: what it opens, how it runs, how it stops."""

import asyncio
import logging
import sys
from functools import partial

import uvloop

from flashsale_consumer import Consumer, ConsumerSettings, Watch, watch_parked
from flashsale_core import topology
from flashsale_core.errors import Retryable, SettingsError
from flashsale_core.logs import configure_logging
from flashsale_core.probes import serve_probes
from flashsale_core.service import run_until_signal
from flashsale_core.supervise import Supervisor
from flashsale_core.tracing import configure_tracing
from flashsale_ledger import wait_for_ledger
from flashsale_order_worker.handlers import OrderEvents
from flashsale_order_worker.refunds import watch_refunds
from flashsale_order_worker.repository import Repository
from flashsale_order_worker.settings import Settings, read_settings

log = logging.getLogger(__name__)


def main() -> int:
    try:
        settings = read_settings()
    except SettingsError as error:
        print(f"flashsale-order-worker: {error}", file=sys.stderr)  # noqa: T201 - logging is not configured without settings
        return 2
    configure_logging(settings.log_level)
    uvloop.run(run(settings))
    return 0


async def run(settings: Settings) -> None:
    """Consume until SIGTERM or SIGINT."""
    tracing = configure_tracing("flashsale-order-worker")
    repository = Repository(
        settings.database_url,
        settings.statement_timeout_seconds,
        settings.retry_seconds,
        settings.statement_cache,
        settings.installation,
    )
    consumer = Consumer(_consumer_settings(settings), OrderEvents(repository, tracing, settings.amqp_url, settings.database_url))
    supervisor = Supervisor()

    async def ready() -> None:
        await repository.check_schema()
        if (fault := supervisor.fault or consumer.fault) is not None:
            raise Retryable(fault)

    async def work(stop: asyncio.Event) -> None:
        if await wait_for_ledger(repository.check_schema, stop):
            supervisor.start("refunds", partial(watch_refunds, repository, settings.refunds_interval_seconds))
            supervisor.start("parked", partial(watch_parked, _watch(settings, topology.PARKED_ORDERS_QUEUE)))
            # Nobody consumes it, and what is in it is missing in the ledger as well.
            supervisor.start("unrouted", partial(watch_parked, _watch(settings, topology.UNROUTED_QUEUE)))
            consuming = supervisor.start("consumer", consumer.run)
            await stop.wait()
            consumer.stop()
            # A batch that does not finish in time was not acknowledged: the broker redelivers it.
            await consuming.finish(settings.shutdown_timeout_seconds)

    try:
        await run_until_signal(work, supervisor, serve_probes(settings.probe_host, settings.probe_port, ready))
    finally:
        await repository.close()
        tracing.shutdown()


def _consumer_settings(settings: Settings) -> ConsumerSettings:
    return ConsumerSettings(
        amqp_url=settings.amqp_url,
        queue=topology.ORDERS_QUEUE,
        batch_messages=settings.batch_messages,
        batch_bytes_max=settings.batch_bytes_max,
        gather_ms=settings.gather_ms,
        amqp_timeout_seconds=settings.amqp_timeout_seconds,
    )


def _watch(settings: Settings, queue: str) -> Watch:
    return Watch(settings.amqp_url, queue, settings.amqp_timeout_seconds)
