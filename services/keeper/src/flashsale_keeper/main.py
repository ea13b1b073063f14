"""The keeper's composition root: what it opens, how it runs, how it stops."""

import asyncio
import sys

import uvloop

from flashsale_audit import Auditor, Stores
from flashsale_core.errors import Retryable, SettingsError
from flashsale_core.logs import configure_logging
from flashsale_core.probes import serve_probes
from flashsale_core.scripts import read_scripts
from flashsale_core.service import run_until_signal
from flashsale_core.supervise import Supervisor
from flashsale_keeper.keeper import Keeper
from flashsale_keeper.restocks import Restocks
from flashsale_keeper.settings import Settings, read_settings
from flashsale_redis import open_redis

REDIS_CONNECTIONS_MAX = 16
PLAIN = ("redis://", "rediss://", "unix://")
"""A single server; behind other schemes, another server may take over."""


def main() -> int:
    try:
        settings = read_settings()
        read_scripts(settings.lua_dir)
    except SettingsError as error:
        print(f"flashsale-keeper: {error}", file=sys.stderr)  # noqa: T201 - logging is not configured without settings
        return 2
    configure_logging(settings.log_level)
    uvloop.run(run(settings))
    return 0


async def run(settings: Settings) -> None:
    """Watch until SIGTERM or SIGINT."""
    redis = open_redis(settings.redis_url, settings.redis_timeout_seconds, REDIS_CONNECTIONS_MAX)
    scripts = read_scripts(settings.lua_dir)
    keeper = Keeper(redis, scripts, settings, single_server=settings.redis_url.startswith(PLAIN))
    stores = Stores(settings.redis_url, settings.database_url, settings.shards, settings.lua_dir)
    auditor = Auditor(stores, is_active=lambda: keeper.active)
    restocks = Restocks(redis, scripts, settings, is_active=lambda: keeper.active)
    supervisor = Supervisor()

    async def ready() -> None:
        if (fault := supervisor.fault or keeper.fault) is not None:
            raise Retryable(fault)

    async def work(stop: asyncio.Event) -> None:
        supervisor.start("keeper", keeper.run)
        supervisor.start("auditor", auditor.run)
        supervisor.start("restocks", restocks.run)
        await stop.wait()

    try:
        await run_until_signal(work, supervisor, serve_probes(settings.probe_host, settings.probe_port, ready))
    finally:
        await redis.aclose()
