"""The body of a request as it arrives: bounded in size and in time, in every HTTP service alike. It knows no framework."""

import asyncio
from collections.abc import AsyncIterable, Callable

Refuse = Callable[[str, str], Exception]
"""The problem of a code, with a detail: what a service raises."""


async def read_body(chunks: AsyncIterable[bytes], bytes_max: int, timeout_seconds: float, refuse: Refuse) -> bytes:
    """The body, at most `bytes_max` bytes, received within `timeout_seconds`.

    Bytes are counted as they arrive, because a declared length may be missing or wrong.
    Raises `refuse` of body_too_large or request_timeout, and what `chunks` raises.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            return await _collect(chunks, bytes_max, refuse)
    except TimeoutError:
        raise refuse("request_timeout", f"Send the request body within {timeout_seconds:g} s") from None


async def _collect(chunks: AsyncIterable[bytes], bytes_max: int, refuse: Refuse) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > bytes_max:
            raise refuse("body_too_large", f"At most {bytes_max} bytes")
    return bytes(body)
