"""Audits the stores that the command's environment names."""

from pathlib import Path

from flashsale_audit.audit_all import Audit, Options, Report
from flashsale_audit.connect import Stores, connect
from flashsale_cli.environment import CliEnvironment
from flashsale_cli.server_urls import database_url, redis_url

LUA_DIR_DEFAULT = "lua"


async def audit_stores(environment: CliEnvironment, options: Options, wait_seconds: float = 0.0) -> Report:
    """Connect to the stores and audit them. Raises SettingsError without an address, Retryable if one of the stores does not answer."""
    async with connect(stores_of(environment)) as (redis, ledger):
        return await Audit(redis, ledger, options).until_settled(wait_seconds)


def stores_of(environment: CliEnvironment) -> Stores:
    """Raises SettingsError without an address."""
    return Stores(
        redis_url=redis_url(environment),
        database_url=database_url(environment),
        shards=environment.shards(),
        lua_dir=Path(environment.text("FLASHSALE_LUA_DIR", default=LUA_DIR_DEFAULT)),
    )
