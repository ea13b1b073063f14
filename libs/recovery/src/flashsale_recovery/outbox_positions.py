"""The positions of the entries that Redis still has in its outboxes."""

from typing import Any

import msgspec
from redis.asyncio import Redis

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


class _Line(msgspec.Struct):
    seq: tuple[int, int, int] | None = None


_decode_line = msgspec.json.Decoder(_Line).decode


def positions_in(body: bytes) -> list[tuple[int, int, int]]:
    """The positions that the lines of an entry's body contain. A field that contains no messages has none."""
    positions = []
    for line in body.split(b"\n"):
        try:
            seq = _decode_line(line).seq
        except msgspec.MsgspecError:
            continue
        if seq is not None:
            positions.append(seq)
    return positions
