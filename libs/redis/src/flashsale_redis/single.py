"""redis-py's client of one server, which leaves a server that says it is the wrong one.

An address may lead to another server by now (a Service, a DNS name), while the old one lives on as a replica. Its connections stay open,
and it refuses every write for as long as it lives. So such a reply ends all connections, and the next ones resolve the name again.
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
from flashsale_redis.errors import is_wrong_server

LEAVE_EVERY_SECONDS = 0.1
"""Where the name still leads to the wrong server, each command would otherwise open a connection of its own."""
QUIET_SECONDS = 60.0
"""Wrong replies with less between them are one event in the log."""
_REPLICA = "You can't write against a read only replica."
log = logging.getLogger(__name__)


class Pool(BlockingConnectionPool):
    def leave(self) -> None:
        """Have every connection end before its next command."""
        for connection in (*self._available_connections, *self._in_use_connections):
            connection.mark_for_reconnect()  # type: ignore[no-untyped-call]

    async def ensure_connection(self, connection: AbstractConnection) -> None:
        if connection.should_reconnect():  # type: ignore[no-untyped-call]
            await connection.disconnect(nowait=True)
        await super().ensure_connection(connection)


class Single(Redis):
    """A command that the wrong server refused is sent once more, on a new connection: the refusal says that it did nothing."""

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
            self.leave(error)
        return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> "SinglePipeline":
        return SinglePipeline(self, transaction, shard_hint)

    def leave(self, error: RedisError) -> None:
        """Leave the server that `error` is of, and log that once."""
        now = monotonic()
        metrics.WRONG_SERVER.inc()
        if now - self._refused_at > QUIET_SECONDS:
            log.warning("redis.wrong_server", extra={"reason": describe_error(Server.REDIS, error)})
        self._refused_at = now
        if now - self._left_at > LEAVE_EVERY_SECONDS:
            self._left_at = now
            self._pool.leave()

    async def refuse_replica(self) -> None:
        """Raises ReadOnlyError while the address leads to a replica; whoever may log in may ask. A server that does not tell is taken."""
        if not await self._is_replica():
            return
        # It may be an old connection alone.
        error = ReadOnlyError(_REPLICA)
        self.leave(error)
        if await self._is_replica():
            raise error

    async def _is_replica(self) -> bool:
        try:
            told = await self.execute_command("HELLO")
        except ResponseError as error:
            if is_wrong_server(error):
                raise
            return False
        return role_of(told) in (b"replica", b"slave")


class SinglePipeline(Pipeline):
    def __init__(self, client: Single, transaction: bool, shard_hint: str | None) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, shard_hint)
        self._client = client

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """As redis-py's; commands that the wrong server refused are sent once more, by themselves."""
        commands = list(self.command_stack)
        if self.is_transaction or not commands:
            return await super().execute(raise_on_error)
        try:
            answers = await super().execute(raise_on_error=False)
        except BusyLoadingError as error:
            # Read no further: those behind the first may have been executed.
            self._client.leave(error)
            raise
        refused = [place for place, answer in enumerate(answers) if isinstance(answer, RedisError) and is_wrong_server(answer)]
        if refused:
            self._client.leave(answers[refused[0]])
            again = await self._again([commands[place] for place in refused])
            for place, answer in zip(refused, again, strict=True):
                answers[place] = answer
        if raise_on_error:
            self.raise_first_error(commands, answers)
        return answers

    async def _again(self, commands: Sequence[Any]) -> list[Any]:
        async with Pipeline(self._client.connection_pool, self.response_callbacks, False, None) as pipe:
            for args, options in commands:
                pipe.execute_command(*args, **options)
            return await pipe.execute(raise_on_error=False)


async def refuse_replica(redis: Redis) -> None:
    """As Single.refuse_replica. A replica of a cluster sends every command on to its master: nothing is asked there."""
    if isinstance(redis, Single):
        await redis.refuse_replica()


def role_of(told: Any) -> bytes | None:
    """HELLO's `role`: RESP3 answers a map, RESP2 a list of its keys and values."""
    fields = told if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=False))
    role: bytes | None = fields.get(b"role")
    return role
