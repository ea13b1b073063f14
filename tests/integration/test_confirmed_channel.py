"""The channel of the outbox at a real broker: each message gets its own confirm, whatever happens to those around it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import NoneType

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractQueue
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError, PublishError

from flashsale_core import topology
from flashsale_gateway.outbox.confirmed_channel import ConfirmedChannel, confirmed_channel

NO_EXCHANGE = ""
"""The exchange that brings a message to the queue that its routing key names."""
MESSAGES = 200
LARGE_BYTES = 300_000
"""More than a frame of RabbitMQ, which has 131,072 bytes."""
SECONDS = 60


@asynccontextmanager
async def opened(infra: Mapping[str, str]) -> AsyncIterator[tuple[AbstractChannel, ConfirmedChannel, AbstractQueue]]:
    async with asyncio.timeout(SECONDS), await aio_pika.connect(infra["AMQP_URL"]) as connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        # A queue that no service reads. The user of the services may not declare one.
        queue = await channel.get_queue(topology.UNROUTED_QUEUE, ensure=False)
        await queue.purge()
        try:
            yield channel, await confirmed_channel(channel, NO_EXCHANGE), queue
        finally:
            # The test may have lost its channel, and then the broker may close the connection as well.
            async with await aio_pika.connect(infra["AMQP_URL"]) as another:
                await (await (await another.channel()).get_queue(queue.name, ensure=False)).purge()


async def test_many_messages_at_once_arrive_in_order_and_are_confirmed(infra: Mapping[str, str]) -> None:
    async with opened(infra) as (_, publishing, queue):
        bodies = [b"%d" % number + b"x" * (LARGE_BYTES if number % 50 == 0 else 0) for number in range(MESSAGES)]
        await asyncio.gather(*[publishing.publish(queue.name, f"{number}", body, None) for number, body in enumerate(bodies)])
        got = [await queue.get(no_ack=True, fail=False) for _ in range(MESSAGES)]
        assert [message.body for message in got if message is not None] == bodies
        assert [message.message_id for message in got if message is not None] == [str(number) for number in range(MESSAGES)]


@pytest.mark.parametrize("ids", [40, 3, 1])
async def test_message_without_a_queue_fails_alone(infra: Mapping[str, str], ids: int) -> None:
    """Whatever the ids of the others: entries of different streams, or a webhook that is sent twice, may have the same one."""
    async with opened(infra) as (_, publishing, queue):
        keys = [queue.name, "no such queue"] * 20
        outcomes = await asyncio.gather(
            *[publishing.publish(key, f"{number % ids}", b"{}", {"number": number}) for number, key in enumerate(keys)],
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [type(None), PublishError] * 20
        got = [await queue.get(no_ack=True, fail=False) for _ in range(20)]
        assert [message.headers["number"] for message in got if message is not None] == [*range(0, 40, 2)]


async def test_id_is_free_again_after_the_confirm(infra: Mapping[str, str]) -> None:
    async with opened(infra) as (_, publishing, queue):
        for _ in range(2):
            await publishing.publish(queue.name, "1700000000000-0", b"{}", None)
        got = [await queue.get(no_ack=True, fail=False) for _ in range(2)]
        assert [message.message_id for message in got if message is not None] == ["1700000000000-0"] * 2


async def test_lost_channel_fails_whoever_waits_and_whoever_comes_later(infra: Mapping[str, str]) -> None:
    async with opened(infra) as (channel, publishing, queue):
        waiting = [asyncio.create_task(publishing.publish(queue.name, f"{number}", b"{}", None)) for number in range(20)]
        await asyncio.sleep(0)
        with pytest.raises(AMQPError):
            await channel.declare_queue("no such queue", passive=True)
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [outcome for outcome in outcomes if not isinstance(outcome, NoneType | AMQPError | ChannelInvalidStateError)] == []
        assert publishing.is_closed
        with pytest.raises(ChannelInvalidStateError):
            await publishing.publish(queue.name, "later", b"{}", None)


async def test_message_that_nobody_waits_for_any_more_harms_no_other(infra: Mapping[str, str]) -> None:
    async with opened(infra) as (_, publishing, queue):
        impatient = [asyncio.create_task(publishing.publish(queue.name, f"{number}", b"{}", None)) for number in range(40)]
        await asyncio.sleep(0)
        for task in impatient[::2]:
            task.cancel()
        outcomes = await asyncio.gather(*impatient, return_exceptions=True)
        assert outcomes[1::2] == [None] * 20
        await publishing.publish(queue.name, "after", b"{}", None)
