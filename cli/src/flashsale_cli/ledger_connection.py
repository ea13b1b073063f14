"""Opens the connection to the ledger's database for the commands that ask a few short questions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from flashsale_core.errors import Retryable
from flashsale_core.faults import Server, describe_error

TIMEOUT_SECONDS = 30.0
"""How long connecting, and each statement, may take."""


@asynccontextmanager
async def open_connection(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Raises Retryable if Postgres does not answer."""
    try:
        connection = await asyncpg.connect(database_url, timeout=TIMEOUT_SECONDS, command_timeout=TIMEOUT_SECONDS, statement_cache_size=0)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise Retryable(describe_error(Server.POSTGRES, error)) from error
    try:
        yield connection
    finally:
        await connection.close()
