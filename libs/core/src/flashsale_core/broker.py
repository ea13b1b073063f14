"""A session with the broker. The module gets the client library's `connect` as an argument and imports no client."""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from flashsale_core.background import wait_briefly
from flashsale_core.tasks import within

HEARTBEAT_SECONDS = 10
"""The client closes a connection that misses some heartbeats; until then, a frozen broker goes unnoticed."""
CONSUMER_HEARTBEAT_SECONDS = 3
"""RabbitMQ gives the messages of a frozen worker to another after two or three of these: less than the keeper waits for missing entries."""


class Connection(Protocol):
    def close(self) -> Coroutine[Any, Any, None]: ...


C = TypeVar("C", bound=Connection)


@asynccontextmanager
async def broker_session(
    connect: Callable[..., Awaitable[C]], amqp_url: str, timeout_seconds: float, heartbeat_seconds: int = 0
) -> AsyncIterator[C]:
    """The connection that `connect(amqp_url, heartbeat=...)` opens; closing it holds the caller up for at most `timeout_seconds`.

    `heartbeat_seconds`: 0 for HEARTBEAT_SECONDS.
    Raises TimeoutError when connecting takes longer than `timeout_seconds`, and what `connect` raises.
    """
    async with within(timeout_seconds, "connecting"):
        connection = await connect(amqp_url, heartbeat=heartbeat_seconds or HEARTBEAT_SECONDS)
    try:
        yield connection
    finally:
        await wait_briefly(connection.close(), timeout_seconds)
