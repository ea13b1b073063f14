"""Parked messages, accessed only through AMQP: read them, replay them into their work queue, or delete them.

The queue `unrouted` counts as one of theirs: what the broker keeps there had no route, and belongs to the ledger.

A message that is read is held by this command and is put back when the command ends. A replayed message is acknowledged only after the
broker has confirmed its copy: a crash in between may leave two copies, which the workers' writes allow for, but never loses the message.
"""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity, DeliveryError

from flashsale_core import topology
from flashsale_core.background import end_background, wait_briefly
from flashsale_core.broker import broker_session
from flashsale_core.errors import Rejected, Retryable
from flashsale_core.faults import Server, describe_error
from flashsale_core.tasks import only_own_cancellation, within

TIMEOUT_SECONDS = 30.0
"""For the connection and for each step after it."""
_ADDED_HEADERS = ("x-reason", "x-error", "x-queue", "x-delivery-count", "x-acquired-count")
"""Headers that the worker or the broker added when the message was parked; a replayed message must not have them."""
UNROUTED = "unrouted"
"""The reason of messages that the broker could not route."""


@dataclass(frozen=True, slots=True)
class Message:
    id: str
    """The message's id; if it has none, `body-` and the beginning of the SHA-256 of its body."""
    queue: str
    """The queue in which it is parked."""
    origin: str
    """The work queue from which it came."""
    reason: str
    error: str
    parked_at: datetime | None
    body: bytes

    @property
    def exact_id(self) -> str:
        """The id with the beginning of the SHA-256 of the body: entries of different streams may have the same id."""
        return f"{self.id}~{_digest(self.body)}"


@dataclass(frozen=True, slots=True)
class Depth:
    queue: str
    messages: int
    looked_at: int
    """The number of messages that `oldest` and `reasons` describe."""
    oldest: Message | None
    reasons: dict[str, int]


Selects = Callable[[Message], bool]
Settle = Callable[[Message], Awaitable[None]]


def read(message: AbstractIncomingMessage, queue: str) -> Message:
    headers = message.headers
    return Message(
        id=message.message_id or f"body-{_digest(message.body)}",
        queue=queue,
        origin=origin(headers, queue),
        reason=str(headers.get("x-reason") or _broker_reason(headers, queue)),
        error=str(headers.get("x-error") or (_no_route(message) if queue == topology.UNROUTED_QUEUE else "")),
        parked_at=message.timestamp or _deaths(headers)[0].get("time"),
        body=message.body,
    )


def origin(headers: Any, queue: str) -> str:
    """The work queue from which a parked message came: the one in its header, or else the one that its parked queue belongs to.

    Every event belongs to the ledger, so one without a route lacks in `orders`.
    """
    if queue == topology.UNROUTED_QUEUE:
        return topology.ORDERS_QUEUE
    named = headers.get("x-queue")
    queues = topology.EVERY_PARKED_QUEUE
    return named if named in queues else next(work for work, parked in queues.items() if parked == queue)


def _broker_reason(headers: Any, queue: str) -> str:
    """The reason of the broker, which parked messages itself in releases before decision 0017."""
    return UNROUTED if queue == topology.UNROUTED_QUEUE else str(_deaths(headers)[0].get("reason", "unknown"))


def _no_route(message: AbstractIncomingMessage) -> str:
    return f"no queue was bound to {message.routing_key}"


def _deaths(headers: Any) -> list[dict[str, Any]]:
    return headers.get("x-death") or [{}]


class Parking:
    """One connection to the broker. Every method raises Retryable if the broker refuses or does not answer."""

    def __init__(self, connection: aio_pika.abc.AbstractConnection) -> None:
        self._connection = connection

    async def depth(self, queue: str, looks_max: int) -> Depth:
        """The number of messages in `queue`, and the reasons of its first `looks_max` messages."""
        async with self._channel() as channel:
            count = await _count(channel, queue)
            messages = [message async for message, _ in _each(channel, queue, min(count, looks_max))]
            reasons = dict(Counter(message.reason for message in messages))
            return Depth(queue, count, len(messages), messages[0] if messages else None, reasons)

    async def look(self, queue: str, selects: Selects, looks_max: int) -> list[Message]:
        """The selected ones of the first `looks_max` messages, which stay in the queue."""
        async with self._channel() as channel:
            count = await _count(channel, queue)
            return [message async for message, _ in _each(channel, queue, min(count, looks_max)) if selects(message)]

    async def replay(self, queue: str, selects: Selects, looks_max: int) -> list[Message]:
        """Put selected messages into their work queue. It reads no more messages than are parked now, so it does not loop."""

        async def publish(message: Message, raw: AbstractIncomingMessage) -> None:
            await exchange.publish(_copy(raw), topology.replay_routing_key(message.origin), mandatory=True, timeout=TIMEOUT_SECONDS)

        async with self._channel() as publishing:
            async with within(TIMEOUT_SECONDS, "checking the parking exchange"):
                exchange = await publishing.get_exchange(topology.PARKING_EXCHANGE, ensure=True)
            return await self._take(queue, selects, looks_max, publish)

    async def drop(self, queue: str, selects: Selects, looks_max: int, settle: Settle) -> list[Message]:
        """Delete selected messages for good, each after `settle`. A crash in between leaves the message parked."""

        async def settle_first(message: Message, raw: AbstractIncomingMessage) -> None:
            await settle(message)

        return await self._take(queue, selects, looks_max, settle_first)

    async def _take(self, queue: str, selects: Selects, looks_max: int, first: Any) -> list[Message]:
        """Acknowledge selected messages, each after `first` has processed it."""
        taken = []
        async with self._channel() as channel:
            async for message, raw in _each(channel, queue, min(await _count(channel, queue), looks_max)):
                if selects(message):
                    await first(message, raw)
                    await raw.ack()
                    taken.append(message)
        return taken

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[AbstractChannel]:
        """When the channel closes, the broker puts back messages that are not acknowledged."""
        async with within(TIMEOUT_SECONDS, "opening a channel"):
            channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        try:
            yield channel
        finally:
            await wait_briefly(_close(channel), TIMEOUT_SECONDS)


@asynccontextmanager
async def open_parking(amqp_url: str) -> AsyncIterator[Parking]:
    """Raises Retryable if the broker refuses or does not answer, Rejected if it lacks a queue or an exchange."""
    try:
        with only_own_cancellation():
            async with broker_session(aio_pika.connect, amqp_url, TIMEOUT_SECONDS) as connection:
                yield Parking(connection)
    except ChannelNotFoundEntity as error:
        raise Rejected(f"RabbitMQ: {error}; {topology.CURE}") from error
    except DeliveryError as error:
        raise Rejected(f"RabbitMQ cannot route the replayed message, which stays parked; {topology.CURE}") from error
    except (AMQPError, OSError, TimeoutError) as error:
        raise Retryable(describe_error(Server.RABBITMQ, error)) from error
    finally:
        await end_background()


async def _close(channel: AbstractChannel) -> None:
    await channel.close()


async def _count(channel: AbstractChannel, queue: str) -> int:
    declared = await channel.declare_queue(queue, passive=True, timeout=TIMEOUT_SECONDS)
    return declared.declaration_result.message_count or 0


async def _each(channel: AbstractChannel, queue: str, most: int) -> AsyncIterator[tuple[Message, AbstractIncomingMessage]]:
    """The first `most` messages of a queue. Messages that are not acknowledged are put back in order, and no failed delivery is counted."""
    source = await channel.get_queue(queue, ensure=False)
    unacknowledged: AbstractIncomingMessage | None = None
    for _ in range(most):
        raw = await source.get(fail=False, timeout=TIMEOUT_SECONDS)
        if raw is None:
            break
        if is_probe(raw, queue):
            await raw.ack()
            continue
        yield read(raw, queue), raw
        unacknowledged = unacknowledged if raw.processed else raw
    if unacknowledged is not None:
        await unacknowledged.nack(multiple=True, requeue=True)


def is_probe(message: AbstractIncomingMessage, queue: str) -> bool:
    """Whether a gateway only asked with it for the policy `events`. It expires in a millisecond, but may still be there behind others."""
    return queue == topology.UNROUTED_QUEUE and not message.body


def _copy(raw: AbstractIncomingMessage) -> aio_pika.Message:
    headers = {name: value for name, value in raw.headers.items() if name not in _ADDED_HEADERS}
    return aio_pika.Message(
        raw.body,
        message_id=raw.message_id,
        content_type=raw.content_type,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        headers=headers,
    )


def selecting(ids: Sequence[str]) -> Selects:
    """Selects messages by id or exact id; all messages if no id is named."""
    wanted = frozenset(ids)
    return (lambda message: message.id in wanted or message.exact_id in wanted) if wanted else (lambda message: True)


def ambiguous(ids: Sequence[str], messages: Sequence[Message]) -> dict[str, list[str]]:
    """The ids among `ids` that messages with different bodies have, each with their exact ids."""
    exact: dict[str, set[str]] = {}
    for message in messages:
        exact.setdefault(message.id, set()).add(message.exact_id)
    return {each: sorted(exact[each]) for each in ids if len(exact.get(each, ())) > 1}


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]
