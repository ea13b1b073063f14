"""Redis streams as the outboxes use them: replies as entries, and the deletion of entries."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from flashsale_core import crash
from flashsale_core.records import Entry
from flashsale_gateway.outbox.ages import Head

# One step. An entry that is acknowledged and not deleted stays for ever, because no consumer gets it again, and its age stops all orders.
ACKNOWLEDGE = "#!lua flags=allow-oom\nredis.call('XDEL', KEYS[1], unpack(ARGV, 2))\nreturn redis.call('XACK', KEYS[1], unpack(ARGV))"


async def delete_entries(redis: Redis, entries: Sequence[Entry], group: str = "") -> None:
    """Delete entries from their streams, in one round trip; and acknowledge them to `group` in the same step, if it is named.

    Raises RedisError, OSError and TimeoutError.
    """
    by_stream: dict[str, list[str]] = {}
    for entry in entries:
        by_stream.setdefault(entry.stream, []).append(entry.entry_id)
    async with redis.pipeline(transaction=False) as pipe:
        for stream, ids in by_stream.items():
            if group:
                pipe.eval(ACKNOWLEDGE, 1, stream, group, *ids)
            else:
                pipe.xdel(stream, *ids)
        crash.point("outbox.deleting")
        await pipe.execute()
        crash.point("outbox.deleted")


def read_entries(reply: Any) -> list[Entry]:
    """The entries of an XREADGROUP reply, over all its streams."""
    return [entry for stream, raw in _by_stream(reply) for entry in entries_of(_text(stream), raw)]


def entries_of(stream: str, raw: Iterable[tuple[Any, Any]]) -> list[Entry]:
    """Entries as one stream returns them. A claimed or re-read entry that is already deleted has no fields, and is left out."""
    return [Entry(stream, _text(entry_id), _text(fields[b"k"]), fields[b"b"]) for entry_id, fields in raw if fields]


def head_of(reply: Any) -> Head | None:
    """The oldest entry in an XRANGE reply; None if it is empty."""
    if not reply:
        return None
    entry_id, fields = reply[0]
    return Head(_text(entry_id), int(fields.get(b"t") or _text(entry_id).split("-")[0]))


def delivery_of(pending: Sequence[Mapping[str, Any]], own_consumer: str) -> str | None:
    """A name for the delivery of the first entry in an XPENDING reply; None if there is none, or `own_consumer` holds it."""
    if not pending or _text(pending[0]["consumer"]) == own_consumer:
        return None
    return " ".join(_text(pending[0][part]) for part in ("message_id", "consumer")) + f" {pending[0]['times_delivered']}"


def _by_stream(reply: Any) -> Iterable[tuple[Any, Any]]:
    # RESP3 answers with a map of one-element lists, RESP2 with a list of pairs.
    if isinstance(reply, dict):
        return [(stream, [entry for page in pages for entry in page]) for stream, pages in reply.items()]
    return [(stream, entries) for stream, entries in reply or ()]


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
