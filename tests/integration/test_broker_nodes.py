"""A node of RabbitMQ that died with its machine: nothing answers, and no connection is reset. Clients go to the next one in time."""

import asyncio
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from urllib.parse import urlsplit

import aio_pika
import pytest

from flashsale_core import broker, topology
from flashsale_core.broker_urls import broker_url, nodes
from flashsale_core.settings import Environment

CONNECT_TIMEOUT_SECONDS = 0.5
MARGIN_SECONDS = 5.0
"""For a busy machine. Without the setting, the kernel would try for two minutes."""


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port whose queue of new connections is full, so the kernel drops every further request to connect."""
    with ExitStack() as held:
        listener = held.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            client = held.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def url_of(infra: Mapping[str, str], silent_port: int) -> str:
    variables = {
        "FLASHSALE_AMQP_HOSTS": f"127.0.0.1:{silent_port}",
        "FLASHSALE_AMQP_CONNECT_TIMEOUT_SECONDS": str(CONNECT_TIMEOUT_SECONDS),
    }
    return broker_url(infra["AMQP_URL"], Environment(variables))


async def test_silent_node_is_left_for_the_next_one_in_time(infra: Mapping[str, str], silent_port: int) -> None:
    urls, timeout_seconds = nodes(url_of(infra, silent_port))
    assert urlsplit(urls[0]).port == silent_port
    started = asyncio.get_running_loop().time()
    connection = await broker.connect_to_first(aio_pika.connect, urls, timeout_seconds)
    took_seconds = asyncio.get_running_loop().time() - started
    async with connection, connection.channel() as channel:
        await channel.declare_queue(topology.ORDERS_QUEUE, passive=True)
    assert CONNECT_TIMEOUT_SECONDS <= took_seconds < CONNECT_TIMEOUT_SECONDS + MARGIN_SECONDS


async def test_session_opens_whichever_node_comes_first(infra: Mapping[str, str], silent_port: int) -> None:
    url = url_of(infra, silent_port)
    for _ in range(4):
        async with broker.broker_session(aio_pika.connect, url, 10) as connection, connection.channel() as channel:
            await channel.declare_queue(topology.ORDERS_QUEUE, passive=True)


async def test_only_silent_nodes_are_an_error_with_their_names(infra: Mapping[str, str], silent_port: int) -> None:
    urls, timeout_seconds = nodes(url_of(infra, silent_port))
    with pytest.raises(ConnectionError, match=rf"127\.0\.0\.1:{silent_port}: TimeoutError: connecting took longer than 0\.5 s"):
        await broker.connect_to_first(aio_pika.connect, [urls[0]] * 2, timeout_seconds)
