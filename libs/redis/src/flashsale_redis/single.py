"""redis-py's client of one server. It reconnects when a reply means that this is the wrong server.

After a failover the address (a Service, a DNS name) leads to another server, while the old one may live on as a replica: connections to it
stay open, and it refuses every write. So such a reply ends all connections, and new ones resolve the name again.
"""

import logging
import math
from collections.abc import Sequence
from time import monotonic
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import BusyLoadingError, ReadOnlyError, RedisError, ResponseError

from flashsale_core.faults import Server, describe_error
from flashsale_redis import metrics
from flashsale_redis.errors import REPLICA, is_wrong_server
from flashsale_redis.roles import is_replica
from flashsale_redis.urls import Address

LEAVE_EVERY_SECONDS = 0.1
"""Without this pause, each command would open a connection while the name still leads to the wrong server."""
QUIET_SECONDS = 60.0
"""Replies of a wrong server that are closer together are logged once."""
log = logging.getLogger(__name__)


class Pool(BlockingConnectionPool):
    waiting = 0
    """How many callers wait for a connection."""

    async def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> Any:
        """As redis-py's. Only a caller that may have to wait for a connection needs its lock and its time limit."""
        if self.waiting or self._in_maintenance or not self._available_connections:
            return await self._wait_for_connection()
        connection: AbstractConnection = self.get_available_connection()  # type: ignore[no-untyped-call]
        try:
            await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def _wait_for_connection(self) -> Any:
        # Nobody may overtake those who wait.
        self.waiting += 1
        try:
            return await super().get_connection()  # type: ignore[no-untyped-call]
        finally:
            self.waiting -= 1

    async def leave(self) -> None:
        """End every connection: an idle one now, one in use before its next command."""
        for connection in self._in_use_connections:
            connection.mark_for_reconnect()  # type: ignore[no-untyped-call]
        for connection in [*self._available_connections]:
            await connection.disconnect(nowait=True)

    async def keep_only(self, address: Address) -> bool:
        """End every connection to another address now: commands that wait there fail. Returns whether there was one."""
        others = [
            connection
            for connection in (*self._available_connections, *self._in_use_connections)
            if connection.is_connected and (getattr(connection, "host", None), getattr(connection, "port", None)) != address
        ]
        for connection in others:
            await connection.disconnect(nowait=True)
        return bool(others)

    async def ensure_connection(self, connection: AbstractConnection) -> None:
        if connection.should_reconnect():  # type: ignore[no-untyped-call]
            await connection.disconnect(nowait=True)
        await super().ensure_connection(connection)


class Single(Redis):
    """A command that the wrong server refused was not executed, so it is sent once more, on a new connection."""

    def __init__(self, connection_pool: Pool) -> None:
        super().__init__(connection_pool=connection_pool)
        self._pool = connection_pool
        self._left_at = self._refused_at = -math.inf

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except RedisError as error:
            if not is_wrong_server(error):
                raise
            await self.leave(error)
        return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> "SinglePipeline":
        return SinglePipeline(self, transaction, shard_hint)

    async def leave(self, error: RedisError) -> None:
        """Leave the server that replied with `error`, and log that once."""
        now = monotonic()
        metrics.WRONG_SERVER.inc()
        if now - self._refused_at > QUIET_SECONDS:
            log.warning("redis.wrong_server", extra={"reason": describe_error(Server.REDIS, error)})
        self._refused_at = now
        if now - self._left_at > LEAVE_EVERY_SECONDS:
            self._left_at = now
            await self._pool.leave()

    async def refuse_replica(self) -> None:
        """Raises ReadOnlyError while the address leads to a replica. Every user may check that. A server without a role is accepted."""
        if not await self._is_replica():
            return
        # Perhaps only this connection is old: ask again on a new one.
        error = ReadOnlyError(REPLICA)
        await self.leave(error)
        if await self._is_replica():
            raise error

    async def _is_replica(self) -> bool:
        try:
            reply = await self.execute_command("HELLO")
        except ResponseError as error:
            if is_wrong_server(error):
                raise
            return False
        return is_replica(reply)


class SinglePipeline(Pipeline):
    def __init__(self, client: Single, transaction: bool, shard_hint: str | None) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, shard_hint)
        self._client = client

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """As redis-py's, but commands that the wrong server refused are sent once more."""
        commands = list(self.command_stack)
        if self.is_transaction or not commands:
            return await super().execute(raise_on_error)
        try:
            answers = await super().execute(raise_on_error=False)
        except BusyLoadingError as error:
            # redis-py stopped reading here, so later commands may have been executed: nothing is sent again.
            await self._client.leave(error)
            raise
        refused = [place for place, answer in enumerate(answers) if isinstance(answer, RedisError) and is_wrong_server(answer)]
        if refused:
            await self._client.leave(answers[refused[0]])
            repeated = await self._repeat([commands[place] for place in refused])
            for place, answer in zip(refused, repeated, strict=True):
                answers[place] = answer
        if raise_on_error:
            self.raise_first_error(commands, answers)
        return answers

    async def _repeat(self, commands: Sequence[Any]) -> list[Any]:
        async with Pipeline(self._client.connection_pool, self.response_callbacks, False, None) as pipe:
            for args, options in commands:
                pipe.execute_command(*args, **options)
            return await pipe.execute(raise_on_error=False)


async def refuse_replica(redis: Redis) -> None:
    """As Single.refuse_replica. Nothing is checked in a cluster, because a replica there redirects commands to its master."""
    if isinstance(redis, Single):
        await redis.refuse_replica()
