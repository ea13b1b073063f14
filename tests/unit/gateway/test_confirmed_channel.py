"""Messages of the outbox as AMQP frames: what pamqp, which both client libraries use, reads in them."""

from collections.abc import Iterator
from typing import Any

import pytest
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.frame import unmarshal
from pamqp.header import ContentHeader

from flashsale_gateway.outbox.confirmed_channel import SHORT_STRING_MAX, content_frames, publish_frame

CHANNEL, CONTENT_MAX = 7, 100
PERSISTENT = 2


def frames(data: bytes) -> Iterator[Any]:
    """Each frame of `data`; raises unless all are of the one channel."""
    while data:
        size, channel, frame = unmarshal(data)
        assert channel == CHANNEL
        yield frame
        data = data[size:]


@pytest.mark.parametrize("headers", [None, {"traceparent": "00-1", "x-sent": {"a": "b"}, "x-at": 1_700_000_000_000}])
@pytest.mark.parametrize("length", [0, 1, CONTENT_MAX, CONTENT_MAX + 1, 3 * CONTENT_MAX])
@pytest.mark.parametrize("limit", [CONTENT_MAX, -8])
def test_message_is_read_back_as_it_was_given(length: int, headers: dict[str, Any] | None, limit: int) -> None:
    body = bytes(number % 251 for number in range(length))
    header, *bodies = frames(content_frames(CHANNEL, limit, "1700000000000-0", body, headers))
    assert isinstance(header, ContentHeader)
    properties = header.properties
    assert (header.body_size, properties.message_id, properties.content_type) == (length, "1700000000000-0", "application/json")
    assert (properties.delivery_mode, properties.headers) == (PERSISTENT, headers)
    assert all(isinstance(part, ContentBody) and (limit < 0 or len(part.value) <= limit) for part in bodies)
    assert b"".join(part.value for part in bodies) == body


def test_message_must_have_a_queue() -> None:
    (method,) = frames(publish_frame(CHANNEL, "flashsale.events", "payment.recorded"))
    assert isinstance(method, Basic.Publish)
    assert (method.exchange, method.routing_key, method.mandatory) == ("flashsale.events", "payment.recorded", True)


def test_too_long_id_is_refused_before_anything_is_sent() -> None:
    content_frames(CHANNEL, CONTENT_MAX, "x" * SHORT_STRING_MAX, b"", None)
    with pytest.raises(ValueError, match="AMQP allows 255"):
        content_frames(CHANNEL, CONTENT_MAX, "x" * (SHORT_STRING_MAX + 1), b"", None)
