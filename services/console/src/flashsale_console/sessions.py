"""A session as the text of a cookie, signed: who logged in, when, and when a page was last opened. Pure.

`fsc1:<person>:<begun>:<seen>:<id>:<mac>`; times are seconds since the Unix epoch. The MAC (HMAC-SHA-256, RFC 2104) covers the person's
line in the users file, so a new password, another role or a deleted line ends the person's sessions.
"""

import base64
import hmac
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

VERSION = "fsc1"
TEXT_MAX = 300
_PARTS = re.compile(rf"{VERSION}:([a-z0-9._-]{{1,40}}):([0-9]{{1,12}}):([0-9]{{1,12}}):([a-f0-9]{{32}}):([A-Za-z0-9_-]{{43}})")


class Session(NamedTuple):
    person: str
    begun: int
    seen: int
    session_id: str
    """32 hex digits. A log-out ends the session of this id."""


class Limits(NamedTuple):
    session_seconds: float
    idle_seconds: float


def write(session: Session, key: str, line: str) -> str:
    """The cookie's text. `line` is what the users file has of the person."""
    head = f"{VERSION}:{session.person}:{session.begun}:{session.seen}:{session.session_id}"
    return f"{head}:{_mac(head, key, line)}"


def read(text: str, keys: Sequence[str], line_of: Callable[[str], str | None], limits: Limits, now: float) -> Session | None:
    """The session, or None if it is not signed with one of `keys`, its person is gone or changed, or it is over."""
    match = _PARTS.fullmatch(text) if len(text) <= TEXT_MAX else None
    line = line_of(match[1]) if match else None
    if match is None or line is None:
        return None
    session = Session(match[1], int(match[2]), int(match[3]), match[4])
    head = text.rpartition(":")[0]
    is_signed = any(hmac.compare_digest(_mac(head, key, line), match[5]) for key in keys)
    return session if is_signed and is_live(session, limits, now) else None


def is_live(session: Session, limits: Limits, now: float) -> bool:
    """Whether neither limit has passed. A session of the future was written by another clock, and does not count."""
    age, idle = now - session.begun, now - session.seen
    return -60 <= idle <= limits.idle_seconds and -60 <= age <= limits.session_seconds


def renewed(session: Session, limits: Limits, now: float) -> Session | None:
    """The session with a later `seen`, or None while the present cookie will do: each tenth of the idle limit writes one."""
    return session._replace(seen=int(now)) if now - session.seen > limits.idle_seconds / 10 else None


def _mac(head: str, key: str, line: str) -> str:
    digest = hmac.digest(key.encode(), f"{head}\0{line}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
