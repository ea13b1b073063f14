"""Which slot a command belongs to, and which master serves a slot. Pure.

https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

from collections.abc import Sequence
from typing import Any

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from flashsale_redis.urls import Address

SLOTS = REDIS_CLUSTER_HASH_SLOTS
# First words of the commands without a key that flashsale sends.
_KEYLESS = frozenset({"CLUSTER", "CONFIG", "DBSIZE", "FLUSHALL", "FLUSHDB", "INFO", "PING", "SCRIPT", "TIME"})
Masters = list[Address | None]
"""The master of each slot; None where no master serves it."""


def slot_of(key: str | bytes) -> int:
    return int(key_slot(key.encode() if isinstance(key, str) else key))


def slot_of_command(args: Sequence[Any]) -> int | None:
    """The slot of a command's first key, which all its keys share, or else the server refuses it; None without a key."""
    name = args[0]
    if name in ("EVALSHA", "EVAL"):
        return slot_of(args[3]) if int(args[2]) else None
    if name in ("XREADGROUP", "XREAD"):
        return slot_of(args[args.index(b"STREAMS") + 1])
    if str(name).partition(" ")[0] in _KEYLESS:
        return None
    return slot_of(args[1])


def masters_of(answer: Sequence[Any], asked: Address) -> Masters:
    """The masters by slot, from the reply to CLUSTER SLOTS. A node without a name is the one that was `asked`."""
    masters: Masters = [None] * SLOTS
    for first, last, (host, port, *_), *_ in answer:
        name = host.decode() if isinstance(host, bytes) else host
        masters[first : last + 1] = [(name or asked[0], int(port))] * (last + 1 - first)
    return masters
