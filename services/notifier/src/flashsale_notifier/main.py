"""The notifier's composition root: what it opens, how it runs, how it stops."""

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
from flashsale_ledger import wait_for_ledger
from flashsale_notifier import upkeep
from flashsale_notifier.database import Database
from flashsale_notifier.ended_sales import ended_sales
from flashsale_notifier.handlers import ShopEvents
from flashsale_notifier.late_returns import late_returns
from flashsale_notifier.recorder import Recorder
from flashsale_notifier.repository import Repository
from flashsale_notifier.rows import Endpoint
from flashsale_notifier.sender import Sender
from flashsale_notifier.senders import Senders
from flashsale_notifier.settings import Settings, read_settings
from flashsale_notifier.unknown_orders import unknown_orders
from flashsale_notifier.unpublished import Finder

BATCH_BYTES_MAX = 1_000_000
log = logging.getLogger(__name__)


def main() -> int:
    try:
        settings = read_settings()
    except SettingsError as error:
        print(f"flashsale-notifier: {error}", file=sys.stderr)  # noqa: T201 - logging is not configured without settings
        return 2
    configure_logging(settings.log_level)
    uvloop.run(run(settings))
    return 0


async def run(settings: Settings) -> None:
    """Notify until SIGTERM or SIGINT."""
    database = Database(
        settings.database_url,
        settings.statement_timeout_seconds,
        settings.retry_seconds,
        settings.statement_cache,
        settings.installation,
    )
    repository = Repository(database, settings.endpoints)
    recorder = Recorder(repository, settings.disable_after_seconds)
    senders = Senders(repository, partial(_sender, repository, recorder, settings))
    handler = ShopEvents(repository, senders.wake, with_reserved=settings.with_reserved)
    consumer = Consumer(_consumer_settings(settings), handler)
    supervisor = Supervisor()

    async def ready() -> None:
        await database.check_schema()
        if (fault := supervisor.fault or consumer.fault or senders.fault) is not None:
            raise Retryable(fault)

    async def work(stop: asyncio.Event) -> None:
        if not await wait_for_ledger(partial(_prepare, database, repository), stop):
            return
        supervisor.start("parked", partial(watch_parked, _parked(settings)))
        pruning = partial(upkeep.prune, repository, settings.retention_seconds, settings.attempts_max, settings.disable_after_seconds)
        supervisor.start("prune", pruning)
        supervisor.start("measure", partial(upkeep.measure, repository))
        supervisor.start("ended-sales", Finder(repository, ended_sales(repository), senders.wake).run)
        supervisor.start("late-returns", Finder(repository, late_returns(repository), senders.wake).run)
        supervisor.start("unknown-orders", Finder(repository, unknown_orders(repository), senders.wake).run)
        supervisor.start("recorder", recorder.run)
        sending = supervisor.start("senders", senders.run)
        consuming = supervisor.start("consumer", consumer.run)
        await stop.wait()
        consumer.stop()
        senders.stop()
        # What does not finish in time is repeated: its message was not acknowledged, or its attempt has no result.
        await asyncio.gather(consuming.finish(settings.shutdown_timeout_seconds), sending.finish(settings.shutdown_timeout_seconds))

    try:
        await run_until_signal(work, supervisor, serve_probes(settings.probe_host, settings.probe_port, ready))
    finally:
        await database.close()


async def _prepare(database: Database, repository: Repository) -> None:
    """Raises Retryable until the ledger has the schema and the endpoints of the settings."""
    await database.check_schema()
    await repository.write_settings_endpoints()


def _sender(repository: Repository, recorder: Recorder, settings: Settings, endpoint: Endpoint) -> Sender:
    return Sender(
        endpoint, repository, recorder, settings.allowed_networks, settings.attempt_timeout_seconds, settings.retries_seconds
    )  # fmt: skip


def _consumer_settings(settings: Settings) -> ConsumerSettings:
    return ConsumerSettings(
        amqp_url=settings.amqp_url,
        queue=topology.SHOP_EVENTS_QUEUE,
        batch_messages=settings.batch_messages,
        batch_bytes_max=BATCH_BYTES_MAX,
        gather_ms=settings.gather_ms,
        amqp_timeout_seconds=settings.amqp_timeout_seconds,
    )


def _parked(settings: Settings) -> Watch:
    return Watch(settings.amqp_url, topology.PARKED_SHOP_EVENTS_QUEUE, settings.amqp_timeout_seconds)
