"""Request bodies and headers straight from ASGI: bounded, and of the right kind."""

import re

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from flashsale_core.ids import REQUEST_ID_PATTERN
from flashsale_gateway.problems import Problem

_REQUEST_ID = re.compile(REQUEST_ID_PATTERN)


def header(scope: Scope, name: bytes) -> bytes | None:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


def is_request_id(text: str) -> bool:
    return _REQUEST_ID.match(text) is not None


def two_headers(scope: Scope, first: bytes, second: bytes) -> tuple[bytes | None, bytes | None]:
    """Two headers in one pass: the hot path looks at each request's headers once."""
    one = two = None
    for key, value in scope["headers"]:
        if key == first:
            one = value
        elif key == second:
            two = value
    return one, two


async def read_json(scope: Scope, receive: Receive, bytes_max: int) -> bytes:
    """The body of a JSON request. Raises Problem when the media type is another or the body is larger than `bytes_max`."""
    require_json(header(scope, b"content-type"))
    return await read(receive, bytes_max)


def require_json(media_type: bytes | None) -> None:
    """Raises Problem(unsupported_media_type) unless it is JSON, with or without parameters."""
    if media_type != b"application/json" and (media_type or b"").split(b";")[0].strip().lower() != b"application/json":
        raise Problem("unsupported_media_type", field="Content-Type")


async def read(receive: Receive, bytes_max: int) -> bytes:
    """The body, at most `bytes_max` long. Counted as it arrives: a declared length may be missing or wrong."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        chunks = [body]
        size = len(body)
        while message.get("more_body") and size <= bytes_max:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
        body = b"".join(chunks)
    if len(body) > bytes_max:
        raise Problem("body_too_large", f"At most {bytes_max} bytes")
    return body
