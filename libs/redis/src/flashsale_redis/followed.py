"""The client of a master that Sentinels name. To its caller it is a single server that moves.

Not redis-py's own: see docs/decisions/0032. Each opening of a connection asks the Sentinels for the address, and checks that the server
there is a master. A failover that this client would not notice, because the old master runs on and answers, is noticed by a watch.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection
from redis.exceptions import ReadOnlyError, RedisError

from flashsale_core.tasks import cancel_and_wait
from flashsale_redis.errors import REPLICA
from flashsale_redis.roles import is_replica
from flashsale_redis.sentinels import Sentinels
from flashsale_redis.single import Pool, Single
from flashsale_redis.urls import Address

WATCH_EVERY_SECONDS = 1.0
"""How often the Sentinels are asked whether the master is still the same, from the first connection on."""
log = logging.getLogger(__name__)


class Followed(Single):
    def __init__(self, connection_pool: Pool, sentinels: Sentinels) -> None:
        super().__init__(connection_pool)
        self.auto_close_connection_pool = True
        self._sentinels = sentinels
        self._watching: asyncio.Task[None] | None = None
        # The URL determines the class: plain or TLS.
        connection_pool.connection_class = following(connection_pool.connection_class, self._master)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        if self._watching is not None:
            await cancel_and_wait(self._watching)
        await super().aclose(close_connection_pool)
        await self._sentinels.aclose()

    async def _master(self) -> Address:
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())
        return await self._sentinels.master()

    async def _watch(self) -> None:
        """End the connections to any other server than the master, with what waits on them: an old master's late answer counts for nothing.

        Sentinels that do not answer change nothing.
        """
        while True:
            await asyncio.sleep(WATCH_EVERY_SECONDS)
            try:
                master = await self._sentinels.master()
                if await self._pool.keep_only(master):
                    log.warning("redis.master_moved", extra={"address": "{}:{}".format(*master)})
            except (RedisError, OSError, TimeoutError):
                continue
            except Exception:
                # Broad on purpose: nobody waits for this task, and without it an old master would keep its connections unnoticed.
                log.exception("redis.watch_failed")


class Following(Connection):
    """A mixin for connection classes, whose connections lead to the address that `locate` returns."""

    locate: Callable[[], Awaitable[Address]]

    async def _connect(self) -> None:
        self.host, self.port = await self.locate()
        await super()._connect()  # type: ignore[no-untyped-call]

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        await super().on_connect_check_health(check_health)
        await self.send_command("HELLO", check_health=False)
        # A Sentinel may name a server that is no longer the master, or not yet.
        if is_replica(await self.read_response()):
            raise ReadOnlyError(REPLICA)


def following(connection_class: type[AbstractConnection], locate: Callable[[], Awaitable[Address]]) -> type[AbstractConnection]:
    members: dict[str, Any] = {"locate": staticmethod(locate)}
    return type(connection_class.__name__, (Following, connection_class), members)
