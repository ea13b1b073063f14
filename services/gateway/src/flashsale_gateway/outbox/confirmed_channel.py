"""Publishes on a channel of aiormq, each message as frames that are mostly prepared and written at once.

aio-pika builds every message from objects, a lock and two context managers, which takes longer than everything else that the gateway does
for it (decision 0053). The connection, the reading of confirms and returns, and what a closed channel does to those who wait stay the
library's: a publish is registered in the fields in which the library's own `basic_publish` registers it.
"""

import asyncio
from collections.abc import Iterator, Mapping
from functools import lru_cache
from struct import Struct
from typing import Any

from aio_pika.abc import AbstractChannel
from aiormq.abc import ChannelFrame
from aiormq.channel import Channel
from aiormq.exceptions import ChannelInvalidStateError
from pamqp.commands import Basic
from pamqp.encode import field_table
from pamqp.frame import marshal

SHORT_STRING_MAX = 255
"""Bytes of a routing key or message id (AMQP 0-9-1, section 4.2.5.3)."""
_HEADER_FRAME, _BODY_FRAME, _FRAME_END = 2, 3, b"\xce"
_CONTENT_TYPE, _HEADERS, _DELIVERY_MODE, _MESSAGE_ID = 0x8000, 0x2000, 0x1000, 0x0080
"""Flags of the properties, which follow in this order (AMQP 0-9-1, sections 1.8 and 4.2.6.1)."""
_JSON = b"\x10application/json"
_PERSISTENT = b"\x02"
_FRAME = Struct(">BHI")
"""Type, channel, size of the payload (4.2.3)."""
_CONTENT = Struct(">HHQH")
"""Class, weight, size of the body, property flags (4.2.6.1)."""


async def confirmed_channel(channel: AbstractChannel, exchange: str) -> "ConfirmedChannel":
    """Publish to `exchange` on a channel of aio-pika. Raises TypeError if a release of the library opens channels of another kind."""
    underlay = await channel.get_underlay_channel()
    if not isinstance(underlay, Channel):
        raise TypeError(f"aio-pika has opened a {type(underlay).__name__}; install the locked versions")
    return ConfirmedChannel(underlay, exchange)


class ConfirmedChannel:
    """All messages of the channel must be published here: the broker counts them, and confirms by number."""

    def __init__(self, channel: Channel, exchange: str) -> None:
        """`channel` is in confirm mode, and raises for what the broker returns."""
        self._channel = channel
        self._exchange = exchange
        self._turn = asyncio.Lock()

    @property
    def is_closed(self) -> bool:
        return self._channel.is_closed

    async def publish(self, routing_key: str, message_id: str, body: bytes, headers: Mapping[str, Any] | None) -> None:
        """Publish persistent JSON, and return once the broker has confirmed it. The caller sets a time limit.

        Streams of different shards have entries of the same id. If a message of this id is in flight, the message gets a longer one.
        Raises DeliveryError if the broker refuses the message or has no route for it, what closed the channel if it is lost meanwhile,
        ChannelInvalidStateError if it was lost before, and ValueError if routing key or message id are longer than SHORT_STRING_MAX.
        """
        channel = self._channel
        # With a future the writer waits until the socket takes more. So messages for a broker that reads nothing stay in a short queue.
        drained = asyncio.get_running_loop().create_future()
        async with self._turn:
            if channel.is_closed:
                raise ChannelInvalidStateError("the channel is closed")
            own_id = _own_id(channel, message_id)
            method = publish_frame(channel.number, self._exchange, routing_key)
            content = content_frames(channel.number, channel.max_content_size, own_id, body, headers)
            await channel.write_queue.put(ChannelFrame(method + content, False, drained))
            # Nothing may be awaited from here on: the message is queued, and its number is that of its place in the queue.
            confirmation = _registered(channel, own_id)
        await confirmation


def _own_id(channel: Channel, message_id: str) -> str:
    """The id, unless a message in flight has it: the library would take the return of one for that of the other, which it then confirms."""
    return message_id if message_id not in channel.message_id_delivery_tag else f"{message_id}.{channel.delivery_tag + 1}"


def _registered(channel: Channel, message_id: str) -> "asyncio.Future[Any]":
    """A future that the channel ends with the confirm of the message that was queued last."""
    channel.delivery_tag += 1
    tag, tags = channel.delivery_tag, channel.message_id_delivery_tag
    confirmation = channel.confirmations[tag] = channel.create_future()
    # A returned message is known by its id only.
    tags[message_id] = tag

    def forget(_: object) -> None:
        if tags.get(message_id) == tag:
            del tags[message_id]

    confirmation.add_done_callback(forget)
    return confirmation


# Few: an installation has a routing key for each payment window, and some more.
@lru_cache(maxsize=256)
def publish_frame(channel: int, exchange: str, routing_key: str) -> bytes:
    """The method frame of a mandatory message."""
    return bytes(marshal(Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=True), channel))


def content_frames(channel: int, content_max: int, message_id: str, body: bytes, headers: Mapping[str, Any] | None) -> bytes:
    """The header frame, and body frames of at most `content_max` bytes each; without a limit if it is not positive."""
    table = field_table(dict(headers)) if headers else b""
    flags = _CONTENT_TYPE | (_HEADERS if headers else 0) | _DELIVERY_MODE | _MESSAGE_ID
    head = _CONTENT.pack(Basic.frame_id, 0, len(body), flags) + _JSON + table + _PERSISTENT + _short_string(message_id)
    return b"".join((_frame(_HEADER_FRAME, channel, head), *_body_frames(channel, content_max, body)))


def _body_frames(channel: int, content_max: int, body: bytes) -> Iterator[bytes]:
    size = content_max if content_max > 0 else max(1, len(body))
    for start in range(0, len(body), size):
        yield _frame(_BODY_FRAME, channel, body[start : start + size])


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return _FRAME.pack(kind, channel, len(payload)) + payload + _FRAME_END


def _short_string(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) > SHORT_STRING_MAX:
        raise ValueError(f"{text[:20]}... has {len(encoded)} bytes; AMQP allows {SHORT_STRING_MAX}")
    return len(encoded).to_bytes(1, "big") + encoded
