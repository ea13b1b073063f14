"""Each service's user of the broker, on a real RabbitMQ."""

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager

import aio_pika
import aiormq
import pytest
from aio_pika.abc import AbstractChannel

from flashsale_core import topology
from flashsale_local_stack import Stack
from tests.integration.broker import control, open_broker


@pytest.fixture(scope="module")
def keeper_url(infra: Mapping[str, str], infra_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The broker's URL for the keeper, after the definitions of `flashsale topology --per-service` are loaded."""
    users = topology.service_users(dict.fromkeys(("gateway", "order-worker", "timeout-worker", "keeper"), topology.password_hash("word")))
    file = tmp_path_factory.mktemp("broker") / "definitions.json"
    file.write_text(json.dumps(topology.definitions(users, [5])))
    control(infra_stack, "import_definitions", str(file))
    yield re.sub("//.*@", "//keeper:word@", infra["AMQP_URL"])
    for user in users:
        control(infra_stack, "delete_user", user.name)


@asynccontextmanager
async def channel(url: str) -> AsyncIterator[AbstractChannel]:
    async with await aio_pika.connect(url) as connection, connection.channel() as opened:
        yield opened


async def test_keeper_sends_markers_to_the_queue_of_the_ledger(infra: Mapping[str, str], keeper_url: str) -> None:
    async with open_broker(infra["AMQP_URL"]) as broker:
        await broker.purge()
        async with channel(keeper_url) as own:
            await own.declare_queue(topology.ORDERS_QUEUE, passive=True)
            await own.default_exchange.publish(aio_pika.Message(b"marker"), topology.ORDERS_QUEUE, mandatory=True)
        assert [message.body for message in await broker.take_all(topology.ORDERS_QUEUE)] == [b"marker"]


@pytest.mark.parametrize("name", [topology.EVENTS_EXCHANGE, topology.PARKING_EXCHANGE, topology.PROBES_EXCHANGE])
async def test_keeper_may_not_send_events(keeper_url: str, name: str) -> None:
    async with channel(keeper_url) as own:
        exchange = await own.get_exchange(name, ensure=False)
        with pytest.raises(aiormq.exceptions.ChannelAccessRefused):
            await exchange.publish(aio_pika.Message(b"event"), "order.expired", mandatory=True)


@pytest.mark.parametrize("name", [topology.ORDERS_QUEUE, topology.PARKED_ORDERS_QUEUE])
async def test_keeper_may_not_read_a_queue(keeper_url: str, name: str) -> None:
    async with channel(keeper_url) as own:
        queue = await own.get_queue(name, ensure=False)
        with pytest.raises(aiormq.exceptions.ChannelAccessRefused):
            await queue.get()
