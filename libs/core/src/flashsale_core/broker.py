"""A session with the broker. The module gets the client library's `connect` as an argument and imports no client."""

import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from flashsale_core.background import wait_briefly
from flashsale_core.broker_urls import host_of, nodes
from flashsale_core.faults import Server, describe_error
from flashsale_core.tasks import only_own_cancellation, within

HEARTBEAT_SECONDS = 2
"""The client ends a connection on which no frame arrives for three times this and a second, so after 9 to 10 s.

A node that dies with its machine resets no connection, so a publisher learns of its end in no other way. It must be shorter than a confirm
may take: a confirm that is late counts against its route, which is then tried with care. RabbitMQ gives the messages of a frozen worker
to another one after two or three heartbeats: less than the keeper waits for missing entries.
"""
CLOSE_SECONDS_MAX = 2.0
"""A broker that runs answers at once, and the end of its connection tells it the same."""


class Connection(Protocol):
    def close(self) -> Coroutine[Any, Any, None]: ...


C = TypeVar("C", bound=Connection)
log = logging.getLogger(__name__)
Connect = Callable[..., Awaitable[C]]


@asynccontextmanager
async def broker_session(connect: Connect[C], amqp_url: str, timeout_seconds: float) -> AsyncIterator[C]:
    """The connection that `connect(url, heartbeat=...)` opens to a node of `amqp_url`, which `broker_url` makes.

    The nodes are tried in random order, so that clients spread over them. Closing holds the caller up for at most CLOSE_SECONDS_MAX.
    Raises TimeoutError when connecting takes longer than `timeout_seconds`, or longer than a single node has. If several nodes cannot be
    reached, raises ConnectionError with the reason of each.
    """
    urls, connect_timeout_seconds = nodes(amqp_url)
    async with within(timeout_seconds, "connecting"):
        connection = await connect_to_first(connect, random.sample(urls, len(urls)), connect_timeout_seconds)
    try:
        yield connection
    finally:
        await wait_briefly(connection.close(), min(timeout_seconds, CLOSE_SECONDS_MAX))


async def connect_to_first(connect: Connect[C], urls: Sequence[str], timeout_seconds: float) -> C:
    """A connection to the first node that opens one; each has `timeout_seconds`. Logs those passed over. Raises as `broker_session`."""
    failures: dict[str, Exception] = {}
    for url in urls:
        try:
            # aiormq cancels whatever waits for a connection that it gives up.
            async with within(timeout_seconds, "connecting"):
                with only_own_cancellation():
                    connection = await connect(url, heartbeat=HEARTBEAT_SECONDS)
        except Exception as error:
            # Broad on purpose: whatever is wrong with one node, the next one may serve.
            if len(urls) == 1:
                raise
            failures[host_of(url)] = error
        else:
            for host, failure in failures.items():
                # A certificate that does not name its node would otherwise only be noticed when the other nodes are away.
                log.warning("broker.node_failed", extra={"node": host, "reason": describe_error(Server.RABBITMQ, failure)})
            return connection
    reasons = "; ".join(f"{host}: {type(error).__name__}: {error}" for host, error in failures.items())
    raise ConnectionError(f"no node can be reached ({reasons})")
