"""Reads the document of an identity provider's keys, from its URL or a mounted file. It blocks, so it runs in a thread."""

import ssl
from collections.abc import Callable
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from time import monotonic
from typing import IO, Any
from urllib.error import URLError
from urllib.request import HTTPRedirectHandler, HTTPSHandler, OpenerDirector, Request, build_opener

BYTES_MAX = 262_144
"""A document has some KiB."""
_CHUNK_BYTES = 16_384


class KeyReadError(Exception):
    """The document cannot be read; the message is the reason."""


class _NoRedirect(HTTPRedirectHandler):
    """A redirect could lead to a server that nobody chose."""

    def redirect_request(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str) -> None:
        raise KeyReadError(f"the server answers {code}, a redirect; name the final URL")


def reader_of(url: str, file: Path | None, timeout_seconds: float, bytes_max: int = BYTES_MAX) -> Callable[[], bytes]:
    """A function that returns the document, and raises KeyReadError."""
    if file is not None:
        return lambda: _read_file(file, bytes_max)
    opener = build_opener(_NoRedirect, HTTPSHandler(context=ssl.create_default_context()))
    return lambda: _fetch(opener, url, timeout_seconds, bytes_max)


def _read_file(file: Path, bytes_max: int) -> bytes:
    try:
        with file.open("rb") as opened:
            return _bounded(opened.read(bytes_max + 1), bytes_max)
    except OSError as error:
        raise KeyReadError(f"{file}: {error.strerror or type(error).__name__}") from None


def _fetch(opener: OpenerDirector, url: str, timeout_seconds: float, bytes_max: int) -> bytes:
    ends = monotonic() + timeout_seconds
    try:
        # The timeout is for each step; a server that sends a byte at a time is stopped between two reads.
        with opener.open(Request(url, headers={"Accept": "application/json"}), timeout=timeout_seconds) as answer:  # noqa: S310 - settings allow https, and http on the loopback interface
            return _bounded(_read_until(answer, ends, bytes_max), bytes_max)
    except (URLError, HTTPException, OSError, ValueError) as error:
        raise KeyReadError(f"{url}: {getattr(error, 'reason', None) or error or type(error).__name__}") from None


def _read_until(answer: Any, ends: float, bytes_max: int) -> bytes:
    document = b""
    while len(document) <= bytes_max and (chunk := answer.read1(_CHUNK_BYTES)):
        document += chunk
        if monotonic() > ends:
            raise TimeoutError("the answer takes too long")
    return document


def _bounded(document: bytes, bytes_max: int) -> bytes:
    if len(document) > bytes_max:
        raise KeyReadError(f"the document has more than {bytes_max} bytes")
    return document
