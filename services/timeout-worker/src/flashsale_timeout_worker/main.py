"""The timeout-worker's composition root: what it opens, how it runs, how it stops."""

import asyncio
import sys
from functools import partial

import uvloop
from redis.asyncio import Redis

from flashsale_consumer import Consumer, ConsumerSettings, Watch, watch_parked
from flashsale_core import topology
from flashsale_core.errors import Retryable, SettingsError
from flashsale_core.logs import configure_logging
from flashsale_core.probes import serve_probes
from flashsale_core.scripts import read_scripts
from flashsale_core.service import run_until_signal
from flashsale_core.supervise import Supervisor
from flashsale_core.tracing import configure_tracing
from flashsale_redis import open_redis
from flashsale_timeout_worker.expiry import Expiry
from flashsale_timeout_worker.handlers import PaymentTimeouts
from flashsale_timeout_worker.retention import Retention
from flashsale_timeout_worker.settings import Settings, read_settings
from flashsale_timeout_worker.sweeper import Sweeper
from flashsale_timeout_worker.wait_probes import WaitProbes

BATCH_BYTES_MAX = 1_000_000
REDIS_CONNECTIONS_MAX = 16


def main() -> int:
    try:
        settings = read_settings()
        read_scripts(settings.lua_dir)
    except SettingsError as error:
        print(f"flashsale-timeout-worker: {error}", file=sys.stderr)  # noqa: T201 - logging is not configured without settings
        return 2
    configure_logging(settings.log_level)
    uvloop.run(run(settings))
    return 0


async def run(settings: Settings) -> None:
    """Expire until SIGTERM or SIGINT."""
    tracing = configure_tracing("flashsale-timeout-worker")
    redis = open_redis(settings.redis_url, settings.redis_timeout_seconds, REDIS_CONNECTIONS_MAX)
    scripts, timeout_seconds = read_scripts(settings.lua_dir), settings.redis_timeout_seconds
    expiry = Expiry(redis, scripts, settings.shards, timeout_seconds, settings.retry_seconds, settings.installation)
    probes = WaitProbes(redis, settings)
    timeouts = PaymentTimeouts(expiry, probes, tracing, settings.payment_windows, amqp_url=settings.amqp_url, redis_url=settings.redis_url)
    consumer = Consumer(_consumer_settings(settings), timeouts)
    sweeper = Sweeper(expiry, settings, tracing)
    supervisor = Supervisor()

    async def ready() -> None:
        await expiry.ping()
        for fault in (supervisor.fault, *((consumer.fault, probes.fault) if settings.consume else ()), sweeper.fault):
            if fault is not None:
                raise Retryable(fault)

    async def work(stop: asyncio.Event) -> None:
        if settings.sweep:
            supervisor.start("sweeper", sweeper.run)
        if settings.sale_retention_seconds:
            supervisor.start("retention", _retention(redis, settings).run)
        consuming = supervisor.start("consumer", consumer.run) if settings.consume else None
        if settings.consume:
            supervisor.start("waits", probes.run)
            supervisor.start("parked", partial(watch_parked, _parked(settings)))
        await stop.wait()
        if consuming is not None:
            consumer.stop()
            # A batch that does not finish in time was not acknowledged: the broker redelivers it.
            await consuming.finish(settings.shutdown_timeout_seconds)

    try:
        await run_until_signal(work, supervisor, serve_probes(settings.probe_host, settings.probe_port, ready))
    finally:
        await redis.aclose()
        tracing.shutdown()


def _consumer_settings(settings: Settings) -> ConsumerSettings:
    return ConsumerSettings(
        amqp_url=settings.amqp_url,
        queue=topology.TIMEOUT_QUEUE,
        batch_messages=settings.batch_messages,
        batch_bytes_max=BATCH_BYTES_MAX,
        gather_ms=settings.gather_ms,
        amqp_timeout_seconds=settings.amqp_timeout_seconds,
    )


def _retention(redis: Redis, settings: Settings) -> Retention:
    retire = read_scripts(settings.lua_dir).retire
    return Retention(redis, retire, settings.shards, settings.sale_retention_seconds, settings.redis_timeout_seconds)


def _parked(settings: Settings) -> Watch:
    return Watch(settings.amqp_url, topology.PARKED_TIMEOUT_QUEUE, settings.amqp_timeout_seconds)
