"""Bodies end at their limits of size and time."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from flashsale_core.request_bodies import read_body


class RefusedError(Exception):
    """What a service raises."""


async def arriving(*chunks: bytes, then_seconds: float = 0) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if then_seconds:
        await asyncio.sleep(then_seconds)


async def test_chunks_are_joined_up_to_the_limit() -> None:
    assert await read_body(arriving(b"ab", b"", b"cd"), 4, 5, RefusedError) == b"abcd"
    assert await read_body(arriving(), 4, 5, RefusedError) == b""


async def test_body_past_its_size_is_refused_before_its_end() -> None:
    with pytest.raises(RefusedError) as refused:
        await read_body(arriving(b"abc", b"de", then_seconds=60), 4, 5, RefusedError)
    assert refused.value.args == ("body_too_large", "At most 4 bytes")


async def test_slow_body_is_refused() -> None:
    with pytest.raises(RefusedError) as refused:
        await read_body(arriving(b"abc", then_seconds=60), 4, 0.05, RefusedError)
    assert refused.value.args == ("request_timeout", "Send the request body within 0.05 s")
