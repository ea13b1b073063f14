"""Opens Redis and Postgres for an audit and closes them again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from redis.exceptions import ReadOnlyError, RedisError

from flashsale_cli.audit.read_ledger import SESSION, LedgerReader
from flashsale_cli.audit.read_redis import RedisReader
from flashsale_cli.environment import CliEnvironment
from flashsale_core.credentials import database_url as checked_database_url
from flashsale_core.errors import Retryable
from flashsale_redis import checked_url, open_redis, refuse_replica

TIMEOUT_SECONDS = 60.0
CONNECTIONS_MAX = 4


@asynccontextmanager
async def connect(environment: CliEnvironment) -> AsyncIterator[tuple[RedisReader, LedgerReader]]:
    """Readers of both stores. Raises SettingsError without REDIS_URL or DATABASE_URL, Retryable if one of the stores does not answer."""
    redis_url, database_url = checked_url(environment.text("REDIS_URL")), checked_database_url(environment.text("DATABASE_URL"))
    shards = environment.shards()
    try:
        database = await asyncpg.connect(database_url, timeout=10, command_timeout=TIMEOUT_SECONDS, statement_cache_size=0)
    except (OSError, asyncpg.PostgresError, TimeoutError) as error:
        raise Retryable(f"DATABASE_URL: Postgres does not answer: {error}") from error
    try:
        # The database itself refuses writes. One transaction, in which each statement sees what was committed before it.
        async with (
            database.transaction(isolation="read_committed", readonly=True),
            open_redis(redis_url, TIMEOUT_SECONDS, CONNECTIONS_MAX) as redis,
        ):
            # A replica may be behind, and would show differences that its master does not have.
            await refuse_replica(redis)
            await database.execute(SESSION)
            yield RedisReader(redis, shards), LedgerReader(database)
    except ReadOnlyError as error:
        raise Retryable("REDIS_URL leads to a replica, which may be behind its master") from error
    except RedisError as error:
        raise Retryable(f"REDIS_URL: Redis does not answer: {error}") from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Retryable(f"DATABASE_URL: the ledger cannot be read: {error}") from error
    finally:
        await database.close()
