"""The positions of the entries that Redis still has in its outboxes."""

from typing import Any

from redis.asyncio import Redis

from flashsale_core.messages import positions_in

STREAM_PAGE = 1000


async def read_positions(redis: Redis, stream: str, incarnation: int) -> list[int]:
    """The positions of an outbox's entries in an incarnation."""
    seqs: set[int] = set()
    start = "-"
    # The type stubs cover bytes and text; these are bytes.
    client: Any = redis
    while entries := await client.xrange(stream, start, "+", count=STREAM_PAGE):
        for _, fields in entries:
            seqs.update(seq for body in fields.values() for _, number, seq in positions_in(body) if number == incarnation)
        start = f"({entries[-1][0].decode()}"
    return sorted(seqs)
