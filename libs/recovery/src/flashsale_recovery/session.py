"""A connection to the ledger with the advisory lock that lets one keeper, or one `flashsale recover --run`, act at a time."""

import asyncpg

from flashsale_core.errors import Retryable
from flashsale_core.faults import Server, describe_error
from flashsale_recovery.ledger import Connection, Ledger

# An arbitrary number that no other program uses for a lock on this database.
LOCK = 7_305_808_869_231_216
# Without these, Postgres holds the lock of a keeper whose machine has died for two hours; without the last one for a quarter of an hour
# if it died before it had acknowledged an answer, because then nothing else is sent to it.
_KEEP_ALIVE = "set tcp_keepalives_idle = 3; set tcp_keepalives_interval = 1; set tcp_keepalives_count = 3; set tcp_user_timeout = 6000"
# A connection that the server ends while nothing is asked is, at the next query, an InternalClientError of asyncpg.
ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


async def connect(database_url: str, timeout_seconds: float, statement_cache: int) -> Connection:
    """Raises Retryable when Postgres is away."""
    try:
        connection = await asyncpg.connect(
            database_url, timeout=timeout_seconds, command_timeout=timeout_seconds, statement_cache_size=statement_cache
        )
        await connection.execute(_KEEP_ALIVE)
    except ERRORS as error:
        raise Retryable(describe_error(Server.POSTGRES, error)) from error
    return connection


class Session:
    def __init__(self, database_url: str, timeout_seconds: float, statement_cache: int) -> None:
        self._database_url = database_url
        self._timeout_seconds = timeout_seconds
        self._statement_cache = statement_cache
        self._connection: Connection | None = None
        self._locked = False

    async def open(self) -> Ledger:
        """The ledger without the lock, only to read. Raises Retryable when Postgres is away."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._database_url, self._timeout_seconds, self._statement_cache)
        return Ledger(self._connection)

    async def acquire(self) -> Ledger | None:
        """The ledger, or None while another keeper has the lock. Raises Retryable when Postgres is away."""
        try:
            if self._connection is None or self._connection.is_closed():
                self._locked = False
                self._connection = await connect(self._database_url, self._timeout_seconds, self._statement_cache)
            if not self._locked:
                self._locked = bool(await self._connection.fetchval("select pg_try_advisory_lock($1)", LOCK))
        except ERRORS as error:
            raise self.lost(error) from error
        return Ledger(self._connection) if self._locked else None

    def lost(self, error: BaseException) -> Retryable:
        """Give up the connection after an error of Postgres, and the lock with it."""
        self.close()
        return Retryable(describe_error(Server.POSTGRES, error))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
        self._connection, self._locked = None, False
