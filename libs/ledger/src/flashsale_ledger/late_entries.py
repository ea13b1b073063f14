"""Finds the entries of a batch that are too late: recovery has closed their incarnation, and a Redis without them has sold on.

A gateway that was paused or cut off may publish such an entry at any time (docs/decisions/0029). Merged, it would be a second order for a
unit, or a second payment; a shop would receive an event of an order that does not exist.
"""

from collections.abc import Sequence
from typing import Any

from flashsale_core.entry_ranges import EntryRange, behind
from flashsale_core.errors import FlashsaleError
from flashsale_core.messages import Position

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


async def late_positions(connection: Any, claimed: Sequence[EntryRange]) -> frozenset[Position]:
    """The entries of `claimed` that are behind the end of a closed incarnation, and new to the ledger. Raises asyncpg's errors.

    A redelivered entry changes nothing, so it is not late. Whoever writes to the ledger holds RECEIVING (flashsale_core.ledger_locks),
    so that no incarnation is closed meanwhile.
    """
    if not claimed:
        return frozenset()
    closed = await connection.fetch(_CLOSED, sorted({claim.shard for claim in claimed}))
    kept = {(row["shard"], row["incarnation"]): row["kept_seq"] for row in closed}
    late: set[Position] = set()
    for suspect in behind(claimed, kept):
        known = {row["seq"] for row in await connection.fetch(_KNOWN, *suspect)}
        seqs = range(suspect.from_seq, suspect.to_seq + 1)
        late.update(Position(suspect.shard, suspect.incarnation, seq) for seq in seqs if seq not in known)
    return frozenset(late)
