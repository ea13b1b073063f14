"""The role in a server's reply to HELLO, which every user may send. Pure."""

from typing import Any


def is_replica(reply: Any) -> bool:
    return role_of(reply) in (b"replica", b"slave")


def role_of(reply: Any) -> bytes | None:
    """The `role` in a reply to HELLO: a map in RESP3, a list of keys and values in RESP2. None if the server has no role."""
    fields = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=False))
    role: bytes | None = fields.get(b"role")
    return role
