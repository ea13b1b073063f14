"""RabbitMQ for tests: publish to a queue, empty it, and run consumers until a condition is true."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from flashsale_consumer import Consumer
from flashsale_core import topology
from flashsale_local_stack import Stack, binaries, configs
from flashsale_local_stack.state import load

TIMEOUT_SECONDS = 60


class Broker:
    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel

    async def publish(self, queue: str, *bodies: bytes, first_id: int = 1) -> None:
        """Publish directly to `queue`, confirmed; message ids are first_id-0, (first_id + 1)-0, ..."""
        for number, body in enumerate(bodies, first_id):
            message = aio_pika.Message(body, message_id=f"{number}-0", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await self._channel.default_exchange.publish(message, queue)

    async def announce(self, routing_key: str, body: bytes) -> None:
        """Publish to the exchange of events, as the relay does."""
        exchange = await self._channel.get_exchange(topology.EVENTS_EXCHANGE)
        await exchange.publish(aio_pika.Message(body, message_id="7-0"), routing_key)

    async def take_all(self, queue: str) -> list[AbstractIncomingMessage]:
        source, messages = await self._channel.get_queue(queue), []
        while (message := await source.get(fail=False)) is not None:
            await message.ack()
            messages.append(message)
        return messages

    async def purge(self) -> None:
        for name in (topology.ORDERS_QUEUE, topology.TIMEOUT_QUEUE, topology.PARKED_ORDERS_QUEUE, topology.PARKED_TIMEOUT_QUEUE):
            await (await self._channel.get_queue(name)).purge()


def control(stack: Stack, *words: str) -> str:
    """Run rabbitmqctl on the stack's broker and return its output."""
    folder, state = stack.home / "rabbitmq", load(stack.home)
    assert state is not None
    environment = configs.rabbitmq_env(state, str(stack.home), {"PATH": os.environ["PATH"]})
    command = [str(Path(binaries.rabbitmq_server()).with_name("rabbitmqctl")), "--quiet", *words]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True, timeout=60).stdout


@asynccontextmanager
async def open_broker(amqp_url: str) -> AsyncIterator[Broker]:
    async with await aio_pika.connect(amqp_url) as connection:
        broker = Broker(await connection.channel())
        await broker.purge()
        yield broker


@asynccontextmanager
async def consuming(*consumers: Consumer) -> AsyncIterator[None]:
    """Run the consumers until the block ends; then they finish the messages they have received."""
    tasks = [asyncio.create_task(consumer.run()) for consumer in consumers]
    try:
        yield
    finally:
        for consumer in consumers:
            consumer.stop()
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await asyncio.gather(*tasks)


async def until(condition: Callable[[], Awaitable[bool] | bool], timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    """Wait until the condition is true. It depends on another process, so it is asked again and again."""
    async with asyncio.timeout(timeout_seconds):
        while not (holds if isinstance(holds := condition(), bool) else await holds):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def counted(counting: Awaitable[int], wanted: int) -> bool:
    """Whether a count comes to `wanted`; for `until`."""
    return await counting == wanted


def headers(messages: Sequence[AbstractIncomingMessage]) -> list[tuple[str | None, object]]:
    """(message id, reason) of parked messages, by id."""
    return sorted((str(message.message_id), str(message.headers["x-reason"])) for message in messages)
