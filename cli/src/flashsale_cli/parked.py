"""Parked messages, by AMQP alone: look without taking, give back to the queue they came from, drop.

A message that is looked at is in hand of this command and goes back at its end. One that is replayed is acknowledged only after the broker
confirmed its copy: a crash in between leaves it twice, which the workers' writes allow for, and never loses it.
"""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity, DeliveryError

from flashsale_core import topology
from flashsale_core.broker import broker_session
from flashsale_core.errors import Rejected, Retryable
from flashsale_core.faults import Server, describe_error
from flashsale_core.tasks import only_own_cancellation, wait_briefly, within

TIMEOUT_SECONDS = 30.0
"""For connecting, and for each step after it."""
_OURS = ("x-reason", "x-error", "x-queue", "x-delivery-count", "x-acquired-count")
"""Headers that parking or the broker added, and that a replayed message must not carry."""


@dataclass(frozen=True, slots=True)
class Message:
    id: str
    """The message's id; of a message without one, `body-` and the beginning of its body's digest."""
    queue: str
    """The parked queue it is in."""
    origin: str
    """The work queue it came from."""
    reason: str
    error: str
    parked_at: datetime | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Depth:
    queue: str
    messages: int
    looked_at: int
    """How many of these `oldest` and `reasons` describe."""
    oldest: Message | None
    reasons: dict[str, int]


Selects = Callable[[Message], bool]


def read(message: AbstractIncomingMessage, queue: str) -> Message:
    headers = message.headers
    return Message(
        id=message.message_id or f"body-{hashlib.sha256(message.body).hexdigest()[:16]}",
        queue=queue,
        origin=origin(headers, queue),
        reason=str(headers.get("x-reason") or _broker_reason(headers)),
        error=str(headers.get("x-error") or ""),
        parked_at=message.timestamp or _deaths(headers)[0].get("time"),
        body=message.body,
    )


def origin(headers: Any, queue: str) -> str:
    """The work queue that a parked message came from: what parked it says so, else its parked queue does."""
    named = headers.get("x-queue")
    return named if named in topology.PARKED_QUEUES else next(work for work, parked in topology.PARKED_QUEUES.items() if parked == queue)


def _broker_reason(headers: Any) -> str:
    """Parked by the broker itself, as releases before decision 0017 had it do: its own reason."""
    return str(_deaths(headers)[0].get("reason", "unknown"))


def _deaths(headers: Any) -> list[dict[str, Any]]:
    return headers.get("x-death") or [{}]


class Parking:
    """One connection to the broker. Every method raises Retryable when the broker does not answer or refuses."""

    def __init__(self, connection: aio_pika.abc.AbstractConnection) -> None:
        self._connection = connection

    async def depth(self, queue: str, looks_max: int) -> Depth:
        """How much is in `queue`, and what its first `looks_max` messages say."""
        async with self._channel() as channel:
            count = await _count(channel, queue)
            looked = [found async for found, _ in _each(channel, queue, min(count, looks_max))]
            return Depth(queue, count, len(looked), looked[0] if looked else None, dict(Counter(one.reason for one in looked)))

    async def look(self, queue: str, selects: Selects, looks_max: int) -> list[Message]:
        async with self._channel() as channel:
            count = await _count(channel, queue)
            return [found async for found, _ in _each(channel, queue, min(count, looks_max)) if selects(found)]

    async def replay(self, queue: str, selects: Selects, looks_max: int) -> list[Message]:
        """Give back what is selected. Only what is there now is looked at, so a message that is parked again is not replayed for ever."""

        async def give_back(found: Message, raw: AbstractIncomingMessage) -> None:
            await exchange.publish(_copy(raw), topology.replay_routing_key(found.origin), mandatory=True, timeout=TIMEOUT_SECONDS)

        async with self._channel() as publishing:
            async with within(TIMEOUT_SECONDS, "looking at the parking exchange"):
                exchange = await publishing.get_exchange(topology.PARKING_EXCHANGE, ensure=True)
            return await self._take(queue, selects, looks_max, give_back)

    async def drop(self, queue: str, selects: Selects, looks_max: int) -> list[Message]:
        async def nothing(found: Message, raw: AbstractIncomingMessage) -> None:
            pass

        return await self._take(queue, selects, looks_max, nothing)

    async def _take(self, queue: str, selects: Selects, looks_max: int, first: Any) -> list[Message]:
        """Acknowledge what is selected, each after `first` is done with it."""
        taken = []
        async with self._channel() as channel:
            async for found, raw in _each(channel, queue, min(await _count(channel, queue), looks_max)):
                if selects(found):
                    await first(found, raw)
                    await raw.ack()
                    taken.append(found)
        return taken

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[AbstractChannel]:
        """What was taken from it and is not acknowledged goes back when it closes."""
        async with within(TIMEOUT_SECONDS, "opening a channel"):
            channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        try:
            yield channel
        finally:
            await wait_briefly(_close(channel), TIMEOUT_SECONDS)


@asynccontextmanager
async def open_parking(amqp_url: str) -> AsyncIterator[Parking]:
    """Raises Retryable when the broker does not answer or refuses, Rejected when it lacks what a replay needs."""
    try:
        with only_own_cancellation():
            async with broker_session(aio_pika.connect, amqp_url, TIMEOUT_SECONDS) as connection:
                yield Parking(connection)
    except ChannelNotFoundEntity as error:
        raise Rejected(f"RabbitMQ: {error}; {topology.CURE}") from error
    except DeliveryError as error:
        raise Rejected(f"RabbitMQ routes no replay, and nothing was taken for it; {topology.CURE}") from error
    except (AMQPError, OSError, TimeoutError) as error:
        raise Retryable(describe_error(Server.RABBITMQ, error)) from error


async def _close(channel: AbstractChannel) -> None:
    await channel.close()


async def _count(channel: AbstractChannel, queue: str) -> int:
    declared = await channel.declare_queue(queue, passive=True, timeout=TIMEOUT_SECONDS)
    return declared.declaration_result.message_count or 0


async def _each(channel: AbstractChannel, queue: str, most: int) -> AsyncIterator[tuple[Message, AbstractIncomingMessage]]:
    """The first `most` messages of a queue; what is not acknowledged goes back in order, and counts no failure of the message."""
    source = await channel.get_queue(queue, ensure=False)
    in_hand: AbstractIncomingMessage | None = None
    for _ in range(most):
        raw = await source.get(fail=False, timeout=TIMEOUT_SECONDS)
        if raw is None:
            break
        yield read(raw, queue), raw
        in_hand = in_hand if raw.processed else raw
    if in_hand is not None:
        await in_hand.nack(multiple=True, requeue=True)


def _copy(raw: AbstractIncomingMessage) -> aio_pika.Message:
    headers = {name: value for name, value in raw.headers.items() if name not in _OURS}
    return aio_pika.Message(
        raw.body,
        message_id=raw.message_id,
        content_type=raw.content_type,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        headers=headers,
    )


def selecting(ids: Sequence[str]) -> Selects:
    """Messages by id; all when no id is named."""
    wanted = frozenset(ids)
    return (lambda found: found.id in wanted) if wanted else (lambda found: True)
