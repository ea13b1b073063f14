"""Opens Redis and Postgres for an audit and closes them again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from redis.exceptions import ReadOnlyError, RedisError

from flashsale_audit.read_ledger import SESSION, LedgerReader
from flashsale_audit.read_redis import RedisReader
from flashsale_audit.same_installation import refuse_mixed
from flashsale_core.errors import Retryable
from flashsale_core.faults import Server, describe_error
from flashsale_core.scripts import read_script
from flashsale_redis import open_redis, refuse_replica

TIMEOUT_SECONDS = 60.0
CONNECTIONS_MAX = 4


@dataclass(frozen=True, slots=True)
class Stores:
    """Where the stores are."""

    redis_url: str
    database_url: str
    shards: int
    lua_dir: Path


@asynccontextmanager
async def connect(stores: Stores) -> AsyncIterator[tuple[RedisReader, LedgerReader]]:
    """Readers of both stores.

    Raises SettingsError without the scripts, or if the stores do not belong together; Retryable if one of them does not answer.
    """
    look, scan = (read_script(stores.lua_dir, name) for name in ("look", "scan"))
    try:
        database = await asyncpg.connect(stores.database_url, timeout=10, command_timeout=TIMEOUT_SECONDS, statement_cache_size=0)
    except (OSError, asyncpg.PostgresError, TimeoutError) as error:
        raise Retryable(f"DATABASE_URL: {describe_error(Server.POSTGRES, error)}") from error
    try:
        # The database itself refuses writes. One transaction, in which each statement sees what was committed before it.
        async with (
            database.transaction(isolation="read_committed", readonly=True),
            open_redis(stores.redis_url, TIMEOUT_SECONDS, CONNECTIONS_MAX) as redis,
        ):
            # A replica may be behind, and would show differences that its master does not have.
            await refuse_replica(redis)
            await database.execute(SESSION)
            await refuse_mixed(redis, database, stores.shards)
            yield RedisReader(redis, stores.shards, look, scan), LedgerReader(database)
    except ReadOnlyError as error:
        raise Retryable("REDIS_URL leads to a replica, which may be behind its master") from error
    except RedisError as error:
        raise Retryable(f"REDIS_URL: {describe_error(Server.REDIS, error)}") from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise Retryable(f"DATABASE_URL: the ledger cannot be read: {error}") from error
    finally:
        await database.close()
