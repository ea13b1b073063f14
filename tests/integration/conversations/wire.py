"""Answers read strictly from the wire: anything but an HTTP/1.1 answer as the gateway sends it is a MalformedError."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

HEAD_BYTES_MAX = 8_192
BODY_BYTES_MAX = 1_048_576


class MalformedError(Exception):
    """The server sent something that is not an answer."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    raw: bytes

    @cached_property
    def document(self) -> Any:
        """The body as JSON; empty when it is something else."""
        try:
            return msgspec.json.decode(self.raw)
        except msgspec.DecodeError:
            return {}

    @property
    def code(self) -> str:
        return str(self.document.get("code", "")) if isinstance(self.document, dict) else ""

    @property
    def closes(self) -> bool:
        return self.headers.get("connection") == "close"

    def __str__(self) -> str:
        return f"{self.status} {self.raw[:200]!r}"


class AnswerReader:
    """Collects the answers in the bytes it is fed."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.rest = b""

    def feed(self, data: bytes) -> None:
        """Raises MalformedError."""
        self.rest += data
        while (split := split_answer(self.rest)) is not None:
            answer, length = split
            self.answers.append(answer)
            self.rest = self.rest[length:]


def split_answer(data: bytes) -> tuple[Answer, int] | None:
    """The first answer in `data` and its length in bytes; None while it is incomplete. Raises MalformedError."""
    head, end, _ = data[:HEAD_BYTES_MAX].partition(b"\r\n\r\n")
    if not end:
        if len(data) >= HEAD_BYTES_MAX or not b"HTTP/1.1 ".startswith(data[:9]):
            raise MalformedError(f"no head: {data[:100]!r}")
        return None
    status_line, *lines = head.split(b"\r\n")
    status, headers = _status(status_line), _headers(lines)
    length = _length(status, headers)
    whole = len(head) + len(end) + length
    return (Answer(status, headers, data[whole - length : whole]), whole) if len(data) >= whole else None


def _status(line: bytes) -> int:
    version, _, rest = line.partition(b" ")
    if version != b"HTTP/1.1" or not rest[:3].isdigit() or rest[3:4] != b" ":
        raise MalformedError(f"no status line: {line[:100]!r}")
    return int(rest[:3])


def _headers(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(": ")
        if not colon or name != name.lower() or not name.replace("-", "").isalnum() or name in headers:
            raise MalformedError(f"no header: {line[:100]!r}")
        headers[name] = value
    return headers


def _length(status: int, headers: Mapping[str, str]) -> int:
    if status < 200:
        return 0
    stated = headers.get("content-length", "")
    if not stated.isdigit() or int(stated) > BODY_BYTES_MAX:
        raise MalformedError(f"no length: {status} {headers}")
    return int(stated)
