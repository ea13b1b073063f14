"""Request bodies and headers straight from ASGI: a body is bounded in size and time, and must be JSON."""

import re
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from flashsale_core.ids import REQUEST_ID_PATTERN
from flashsale_core.request_bodies import read_body
from flashsale_gateway.http.problems import Problem
from flashsale_gateway.settings import Settings

_REQUEST_ID = re.compile(REQUEST_ID_PATTERN)


def header(scope: Scope, name: bytes) -> bytes | None:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


def read_request_key(value: str) -> str | None:
    """The request id in an Idempotency-Key header; None if it has none.

    In quotes, as the Idempotency-Key draft demands (a Structured Fields string), or bare, as most clients send it.
    """
    key = value.strip().strip('"')
    return key if _REQUEST_ID.match(key) else None


async def read_json(scope: Scope, receive: Receive, settings: Settings) -> bytes:
    """The body of a JSON request. Raises Problem when its media type is not JSON, or it is too large or too slow."""
    require_json(header(scope, b"content-type"))
    return await read(receive, settings)


def require_json(media_type: bytes | None) -> None:
    """Raises Problem(unsupported_media_type) unless it is application/json, with or without parameters."""
    if media_type != b"application/json" and (media_type or b"").split(b";")[0].strip().lower() != b"application/json":
        raise Problem("unsupported_media_type", field="Content-Type")


async def read(receive: Receive, settings: Settings) -> bytes:
    """The body, at most `body_bytes_max` bytes, received within `body_timeout_seconds`.

    Raises Problem, and ClientDisconnect when the client has left.
    """
    return await read_body(_chunks(receive), settings.body_bytes_max, settings.body_timeout_seconds, Problem)


def require_size(body: bytes, bytes_max: int) -> None:
    """Raises Problem(body_too_large) when `body` is longer than `bytes_max`."""
    if len(body) > bytes_max:
        raise Problem("body_too_large", f"At most {bytes_max} bytes")


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        yield message.get("body", b"")
        more = message.get("more_body", False)
