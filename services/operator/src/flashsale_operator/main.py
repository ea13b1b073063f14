"""The operator's composition root: what it opens, how it runs, how it stops."""

import asyncio
import logging
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import kopf
import uvloop

from flashsale_core.errors import Retryable, SettingsError
from flashsale_core.logs import configure_logging
from flashsale_core.probes import serve_probes
from flashsale_core.scripts import read_scripts
from flashsale_core.service import run_until_signal
from flashsale_core.settings import Environment
from flashsale_core.supervise import Supervisor
from flashsale_operator.apiserver import open_flash_sales
from flashsale_operator.cache import ResourceCache
from flashsale_operator.handlers import BACKOFF_SECONDS, Handlers, spread
from flashsale_operator.reconcile import Reconciler
from flashsale_operator.sale_store import SaleStore
from flashsale_operator.settings import Settings, read_settings
from flashsale_operator.sweep import Sweep
from flashsale_operator.watch_check import WatchCheck
from flashsale_redis import open_redis

# Written into every resource: a change would leave finalizers behind that no operator removes.
PREFIX = "operator.flashsale.dev"
FINALIZER = f"{PREFIX}/finalizer"
REDIS_CONNECTIONS_MAX = 16


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
    uvloop.run(run(settings))
    return 0


async def run(settings: Settings) -> None:
    """Operate until SIGTERM or SIGINT."""
    redis = open_redis(settings.redis_url, settings.redis_timeout_seconds, REDIS_CONNECTIONS_MAX)
    scripts = read_scripts(settings.lua_dir)
    sales = SaleStore(redis, scripts, settings.shards, settings.redis_timeout_seconds, settings.installation)
    cache = ResourceCache()
    registry = kopf.OperatorRegistry()
    reconciler = Reconciler(sales, settings.payment_windows, require_durable=settings.require_durable_redis)
    Handlers(reconciler, cache, settings).register(registry)
    kopf.on.login(registry=registry)(_login)
    watching = asyncio.Event()
    supervisor = Supervisor()

    async def ready() -> None:
        if not watching.is_set():
            raise Retryable("kopf has not started yet")
        if supervisor.fault is not None:
            raise Retryable(supervisor.fault)
        await sales.ping()

    sweep = Sweep(reconciler, cache, settings)

    async def alive() -> None:
        check_alive(sweep.silent_seconds(), settings.silence_seconds, len(cache.unseen_uids))

    # Without it kopf would look up the user's name, and a pod's user id may have none.
    identity: Any = socket.gethostname()
    environment = Environment()

    async def work(stop: asyncio.Event) -> None:
        supervisor.start("sweep", sweep.run)
        if environment.optional("KUBERNETES_SERVICE_HOST"):
            # Outside a cluster, on a developer's machine with a kubeconfig, there is no token for this request.
            supervisor.start("rollcall", WatchCheck(cache, partial(_generations, environment, settings.namespace)).run)
        await kopf.operator(
            registry=registry,
            identity=identity,
            settings=kopf_settings(settings),
            standalone=True,
            clusterwide=not settings.namespace,
            namespaces=[settings.namespace] if settings.namespace else [],
            stop_flag=stop,
            ready_flag=watching,
        )

    try:
        await run_until_signal(work, supervisor, serve_probes(settings.probe_host, settings.probe_port, ready, alive))
    finally:
        await redis.aclose()


def check_alive(silent_seconds: float, silence_seconds_max: float, unseen: int) -> None:
    """Raises Retryable when the sweep hangs, or when the watch does not report `unseen` resources."""
    if silent_seconds > silence_seconds_max:
        raise Retryable(f"the sweep has made no progress for {silent_seconds:.0f} s")
    if unseen:
        raise Retryable(f"the watch is dead: it has not reported the current version of {unseen} FlashSales")


async def _generations(environment: Environment, namespace: str) -> Mapping[str, int]:
    """Opens a session for each call, because the pod's token is replaced every hour."""
    async with open_flash_sales(environment, namespace) as flash_sales:
        return await flash_sales.generations()


def kopf_settings(settings: Settings) -> kopf.OperatorSettings:
    """The settings whose defaults do not suit us: names that are written into resources, and limits of time and work."""
    own = kopf.OperatorSettings()
    own.persistence.finalizer = FINALIZER
    own.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=PREFIX)
    own.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=PREFIX)
    own.posting.loggers = False
    own.posting.reporting_component = "flashsale-operator"
    own.posting.event_name_prefix = "flashsale-"
    own.posting.worker_limit = settings.workers_max
    own.scanning.disabled = bool(settings.namespace)
    own.peering.standalone = True
    # A worker stays with its resource for a moment after the last event. At the worker limit, other resources wait for it.
    own.queueing.worker_limit = settings.workers_max
    own.queueing.idle_timeout = 0.5
    # Long enough for a waiting timer to notice that it must stop.
    own.background.instant_exit_timeout = 2.0
    own.queueing.exit_timeout = settings.shutdown_timeout_seconds / 2
    own.networking.request_timeout = settings.request_timeout_seconds
    own.networking.connect_timeout = settings.request_timeout_seconds
    own.watching.server_timeout = settings.watch_timeout_seconds
    own.watching.client_timeout = settings.watch_timeout_seconds + settings.request_timeout_seconds
    own.watching.connect_timeout = settings.request_timeout_seconds
    own.networking.error_backoffs = _Spread(own.networking.error_backoffs)
    own.execution.default_backoff = BACKOFF_SECONDS
    own.process.ultimate_exiting_timeout = settings.shutdown_timeout_seconds
    return own


class _Spread:
    """Backoffs near the given ones, random each time they are read."""

    def __init__(self, backoffs: float | Iterable[float]) -> None:
        self._backoffs = tuple(backoffs) if isinstance(backoffs, Iterable) else (backoffs,)

    def __iter__(self) -> Iterator[float]:
        return (spread(seconds) for seconds in self._backoffs)


def _login(**kwargs: Any) -> Any:
    """Log in with the pod's token or, outside a cluster, with the kubeconfig."""
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
