"""The operator's composition root: what it opens, how it runs, how it stops."""

import asyncio
import logging
import socket
import sys
from typing import Any

import aiohttp
import kopf
import uvloop
from redis.asyncio import Redis

from flashsale_core.errors import Rejected, Retryable, SettingsError
from flashsale_core.logs import configure_logging
from flashsale_core.probes import serve_probes
from flashsale_core.scripts import read_scripts
from flashsale_core.service import run_until_signal
from flashsale_core.settings import Environment
from flashsale_core.supervise import Supervisor
from flashsale_operator.apiserver import Namespaces, open_apiserver
from flashsale_operator.cache import ResourceCache
from flashsale_operator.controller import Controller
from flashsale_operator.engine import Engine
from flashsale_operator.event_filter import only_served
from flashsale_operator.handlers import Handlers
from flashsale_operator.kopf_settings import kopf_settings
from flashsale_operator.lost_namespaces import LostNamespaces
from flashsale_operator.patience import STRETCH_MAX
from flashsale_operator.reconcile import Reconciler
from flashsale_operator.recorder import Recorder
from flashsale_operator.sale_store import REDIS_CONNECTIONS, SaleStore
from flashsale_operator.settings import Settings, read_settings
from flashsale_operator.status_writer import StatusWriter
from flashsale_operator.sweep import Sweep
from flashsale_operator.watch_check import WatchCheck
from flashsale_operator.work_queue import WorkQueue
from flashsale_redis import open_redis

log = logging.getLogger(__name__)


def main() -> int:
    try:
        settings = read_settings()
        read_scripts(settings.lua_dir)
    except SettingsError as error:
        print(f"flashsale-operator: {error}", file=sys.stderr)  # noqa: T201 - logging is not configured without settings
        return 2
    configure_logging(settings.log_level)
    # kopf logs every handler's success at INFO: a thousand sales would be a thousand lines every few seconds.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    try:
        uvloop.run(run(settings))
    except (Rejected, SettingsError) as error:
        log.error("operator.refused", extra={"reason": str(error)})
        return 2
    return 0


async def run(settings: Settings) -> None:
    """Operate until SIGTERM or SIGINT."""
    async with open_apiserver(Environment(), settings.request_timeout_seconds) as apiserver:
        lost = LostNamespaces(apiserver.flash_sales)
        flash_sales = Namespaces(apiserver.flash_sales, settings.namespaces or ("",), lost)
        await refuse_rival(settings.engine, flash_sales)
        # redis-py counts the time in which this process was busy as well: SaleStore's own limit ends a command first.
        redis = open_redis(settings.redis_url, settings.redis_timeout_seconds * STRETCH_MAX, REDIS_CONNECTIONS)
        try:
            await _operate(settings, StatusWriter(apiserver), flash_sales, lost, redis)
        finally:
            await redis.aclose()


async def _operate(settings: Settings, writer: StatusWriter, flash_sales: Namespaces, lost: LostNamespaces, redis: Redis) -> None:
    scripts = read_scripts(settings.lua_dir)
    sales = SaleStore(redis, scripts, settings.shards, settings.redis_timeout_seconds, settings.installation)
    cache, queue = ResourceCache(), WorkQueue()
    registry, recorder = kopf.OperatorRegistry(), Recorder(writer.post_event)
    reconciler = Reconciler(sales, settings.payment_windows, require_durable=settings.require_durable_redis, storefront=settings.storefront)
    handlers = Handlers(reconciler, cache, queue, recorder, settings, writer.namespace_ends)
    handlers.register(registry)
    kopf.on.login(registry=registry)(_login)
    watching = asyncio.Event()
    supervisor = Supervisor()

    async def ready() -> None:
        if not watching.is_set():
            raise Retryable("kopf has not started yet")
        if supervisor.fault is not None:
            raise Retryable(supervisor.fault)
        await sales.ping()

    sweep = Sweep(reconciler, cache, queue, settings)

    async def alive() -> None:
        check_alive(sweep.silent_seconds(), settings.silence_seconds, len(cache.unseen_uids))

    # Without it kopf would look up the user's name, and a pod's user id may have none.
    identity: Any = socket.gethostname()

    async def work(stop: asyncio.Event) -> None:
        supervisor.start("sweep", sweep.run)
        supervisor.start("controller", Controller(reconciler, cache, queue, writer, recorder, settings.installation).run)
        supervisor.start("events", recorder.run)
        supervisor.start("rollcall", WatchCheck(cache, flash_sales.generations).run)
        await kopf.operator(
            registry=registry,
            identity=identity,
            settings=kopf_settings(settings),
            standalone=True,
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
            stop_flag=stop,
            ready_flag=watching,
        )

    with only_served(settings.engine, cache, handlers.observe, lost):
        await run_until_signal(work, supervisor, serve_probes(settings.probe_host, settings.probe_port, ready, alive))


async def refuse_rival(engine: Engine, flash_sales: Namespaces) -> None:
    """Raises Rejected if another installation serves this engine in the same namespaces."""
    try:
        rival = engine.rival({engine.claim(body) async for body in flash_sales.each()})
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        # Each resource is claimed before its sale is loaded, so the start need not wait for the apiserver.
        log.warning("operator.rival_unknown", extra={"reason": f"{type(error).__name__}: {error}"})
        return
    if rival is not None:
        raise Rejected(
            f"the installation {rival} serves the engine {engine.name} in these namespaces: give this one another operator.engine.name, "
            "or other namespaces; if that installation is gone for good, delete its FlashSales, remove their finalizer by hand, because "
            "only that installation would, and create them again (docs/kubernetes.md, Several releases in one cluster)"
        )


def check_alive(silent_seconds: float, silence_seconds_max: float, unseen: int) -> None:
    """Raises Retryable when the sweep hangs, or when the watch does not report `unseen` resources."""
    if silent_seconds > silence_seconds_max:
        raise Retryable(f"the sweep has made no progress for {silent_seconds:.0f} s")
    if unseen:
        raise Retryable(f"the watch is dead: it has not reported the current version of {unseen} FlashSales")


def _login(**kwargs: Any) -> Any:
    """Log in with the pod's token or, outside a cluster, with the kubeconfig."""
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
