"""Finds the entries of a batch that are too late: recovery has closed their incarnation, and a Redis without them has sold on.

A gateway that was paused or cut off may publish such an entry at any time (docs/decisions/0029). Merged, it would be a second order for a
unit, or a second payment.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from flashsale_core.errors import FlashsaleError
from flashsale_core.messages import Position
from flashsale_order_worker.plan import ReceivedRow

_CLOSED = "select shard, incarnation, kept_seq from shards where shard = any($1::int[]) and kept_seq is not null"
_KNOWN = """
select seq from generate_series($3::bigint, $4::bigint) as seq
where exists (select from received_entries where shard = $1 and incarnation = $2 and to_seq >= seq and from_seq <= seq)
"""


class LateEntriesError(FlashsaleError):
    """Entries of a batch are too late; nothing of the batch was written."""

    def __init__(self, positions: frozenset[Position]) -> None:
        super().__init__(f"{len(positions)} entries are too late")
        self.positions = positions


async def late_positions(connection: Any, claimed: Sequence[ReceivedRow]) -> frozenset[Position]:
    """The entries of `claimed` that are behind the end of a closed incarnation, and new to the ledger.

    A redelivered entry changes nothing, so it is not late.
    """
    if not claimed:
        return frozenset()
    closed = await connection.fetch(_CLOSED, sorted({row.shard for row in claimed}))
    kept = {(row["shard"], row["incarnation"]): row["kept_seq"] for row in closed}
    late: set[Position] = set()
    for suspect in behind(claimed, kept):
        known = {row["seq"] for row in await connection.fetch(_KNOWN, *suspect)}
        seqs = range(suspect.from_seq, suspect.to_seq + 1)
        late.update(Position(suspect.shard, suspect.incarnation, seq) for seq in seqs if seq not in known)
    return frozenset(late)


def behind(claimed: Sequence[ReceivedRow], kept: Mapping[tuple[int, int], int]) -> list[ReceivedRow]:
    """The parts of the ranges that are behind the last kept seq of their incarnation; incarnations that are not in `kept` are open."""
    parts = []
    for row in claimed:
        kept_seq = kept.get((row.shard, row.incarnation))
        if kept_seq is not None and row.to_seq > kept_seq:
            parts.append(row._replace(from_seq=max(row.from_seq, kept_seq + 1)))
    return parts
