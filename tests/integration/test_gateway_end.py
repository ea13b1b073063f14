"""A gateway that ends: within its limits whatever its servers do, and what it acknowledged is published or in Redis."""

import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, suppress
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from flashsale_chaos.network import Mode
from flashsale_core import topology
from flashsale_core.keys import shard_keys, shard_of
from tests.conftest import REDIS_MASTERS
from tests.integration.broker import Broker, open_broker
from tests.integration.client import Client
from tests.integration.forwarder import Forwarder, forwarding
from tests.integration.gateways import gateway_on
from tests.integration.stores import redis_client

SHUTDOWN_SECONDS, LEAVE_SECONDS = 1, 2
MARGIN_SECONDS = 12.0
"""For a slow machine, and for what follows the limits: cancelling tasks, and the end of the interpreter."""
PATIENT_LEAVE_SECONDS = 30
LINGER_MS = 10_000
"""Longer than the test takes to order, so that entries are still in the gateway's memory when it ends."""
FROZEN, GONE = Mode(hold_up=True, hold_down=True), Mode(refuse=True)
SERVERS = {"redis": "REDIS_URL", "rabbitmq": "AMQP_URL"}
pytestmark = pytest.mark.skipif(REDIS_MASTERS > 1, reason="the address that freezes is that of one server")


@pytest.fixture
def links(infra: Mapping[str, str]) -> Iterator[Mapping[str, Forwarder]]:
    with ExitStack() as stack:
        ports = {name: urlsplit(infra[variable]).port or 0 for name, variable in SERVERS.items()}
        yield {name: stack.enter_context(forwarding(port)) for name, port in ports.items()}


def through(infra: Mapping[str, str], links: Mapping[str, Forwarder], **settings: object) -> dict[str, str]:
    """The environment of a gateway whose servers are behind the links."""
    limits = {"FLASHSALE_SHUTDOWN_TIMEOUT_SECONDS": SHUTDOWN_SECONDS, "FLASHSALE_LEAVE_TIMEOUT_SECONDS": LEAVE_SECONDS, **settings}
    urls = {}
    for name, variable in SERVERS.items():
        url = urlsplit(infra[variable])
        urls[variable] = url._replace(netloc=f"{url.netloc.rpartition('@')[0]}@127.0.0.1:{links[name].port}").geturl()
    return {**infra, **urls, **{name: str(value) for name, value in limits.items()}}


@pytest.fixture
async def broker(infra: Mapping[str, str]) -> AsyncIterator[Broker]:
    async with open_broker(infra["AMQP_URL"]) as broker:
        yield broker


async def kept(infra: Mapping[str, str], broker: Broker, sale: str) -> tuple[bytes, bytes]:
    """What the broker has, and what both outboxes of the sale have."""
    queued = b"".join([message.body for message in await broker.take_all(topology.ORDERS_QUEUE)])
    shard = shard_keys(shard_of(sale))
    with redis_client(infra["REDIS_URL"]) as redis:
        entries = [fields[b"b"] for stream in (shard.direct, shard.outbox) for _, fields in redis.xrange(stream)]
    return queued, b"".join(entries)


def order_and_wait(client: Client, sale: str) -> None:
    """An order whose answer the end of the gateway may cut off."""
    with suppress(OSError, HTTPException):
        client.order(sale, "waiting")


@pytest.mark.parametrize("mode", [FROZEN, GONE], ids=["frozen", "gone"])
@pytest.mark.parametrize("servers", [("rabbitmq",), ("redis", "rabbitmq")], ids="-".join)
async def test_gateway_without_its_servers_ends_in_time_and_loses_no_order(
    infra: Mapping[str, str], links: Mapping[str, Forwarder], broker: Broker, servers: tuple[str, ...], mode: Mode, tmp_path: Path
) -> None:
    env = through(infra, links)
    with ExitStack() as healing:
        with gateway_on(env, tmp_path / "gateway.log") as gateway:
            client = Client({**env, "FLASHSALE_URL": gateway.url})
            sale = client.new_sale(10)
            accepted = [client.order(sale, "first").body["orderId"]]
            for name in servers:
                healing.enter_context(links[name].disturbed(mode))
            if "redis" in servers:
                threading.Thread(target=order_and_wait, args=(client, sale), daemon=True).start()
            else:
                accepted.append(client.order(sale, "second").body["orderId"])
            ending = time.monotonic()
        took_seconds = time.monotonic() - ending
    assert took_seconds < SHUTDOWN_SECONDS + LEAVE_SECONDS + MARGIN_SECONDS, (tmp_path / "gateway.log").read_text()
    everything = b"".join(await kept(infra, broker, sale))
    assert all(order_id.rpartition(".")[2].encode() in everything for order_id in accepted)


async def test_gateway_publishes_everything_before_it_ends(
    infra: Mapping[str, str], links: Mapping[str, Forwarder], broker: Broker, tmp_path: Path
) -> None:
    env = through(infra, links, FLASHSALE_RELAY_LINGER_MS=LINGER_MS, FLASHSALE_LEAVE_TIMEOUT_SECONDS=PATIENT_LEAVE_SECONDS)
    with gateway_on(env, tmp_path / "gateway.log") as gateway:
        client = Client({**env, "FLASHSALE_URL": gateway.url})
        sale = client.new_sale(30)
        accepted = [client.order(sale, f"user-{number}").body["orderId"] for number in range(30)]
        queued, _ = await kept(infra, broker, sale)
    rest, entries = await kept(infra, broker, sale)
    assert accepted[-1].rpartition(".")[2].encode() not in queued, "nothing was left to publish"
    names = [order_id.rpartition(".")[2].encode() for order_id in accepted]
    assert [name in queued + rest for name in names] == [True] * len(names)
    assert [name in entries for name in names] == [False] * len(names), "the broker has confirmed them"
