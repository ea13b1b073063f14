"""Asks a Redis server that may be dead, loading or stopped."""

from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

HOST = "127.0.0.1"
COMMAND_TIMEOUT_SECONDS = 2.0


async def asked(port: int, password: str, ask: "Callable[[Any], Awaitable[Any]]") -> bool:
    """Whether `ask`, which gets a client of the server, returns something true; False while the server does not answer."""
    client: Any = Redis(host=HOST, port=port, password=password, socket_timeout=COMMAND_TIMEOUT_SECONDS, retry=Retry(NoBackoff(), 0))
    try:
        async with client:
            return bool(await ask(client))
    except (RedisError, OSError, TimeoutError):
        return False
