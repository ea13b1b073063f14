"""An entry with a line that cannot be decoded does not count as received; its neighbours do."""

import pytest

from flashsale_core.messages import OrdersReserved, Position, ReservedLine, encode, join
from flashsale_order_worker.incomplete import incomplete_positions


def line(seq: int | None) -> bytes:
    position = None if seq is None else Position(0, 1, seq)
    return encode(OrdersReserved(v=1, sale="shoe", epoch=7, at=1, deadline=9, orders=[ReservedLine("o", "ann", 1)], seq=position))


def newer(seq: int) -> bytes:
    return line(seq).replace(b'"v":1', b'"v":2')


@pytest.mark.parametrize(
    ("lines", "seqs"),
    [
        ([line(1), line(2)], set()),
        # The line names its entry although this release cannot use it.
        ([line(1), newer(2), line(3)], {2}),
        ([line(1), newer(1), line(2)], {1}),
        # A broken line may belong to either neighbour.
        ([line(1), line(2), b"{", line(3), line(4)], {2, 3}),
        ([line(1), b"{", b"", newer(2), line(3)], {1, 2}),
        ([b"{", line(1), line(2)], {1}),
        ([line(1), line(2), b"{"], {2}),
        ([b"{"], set()),
        # The position is unreadable, or an older release wrote the neighbour.
        ([line(1), newer(2).replace(b"[0,1,2]", b"[0,1,-2]"), line(3)], {1, 3}),
        ([line(None), b"{", line(None)], set()),
    ],
)
def test_only_entries_that_may_lack_a_line_are_incomplete(lines: list[bytes], seqs: set[int]) -> None:
    assert set(incomplete_positions(join(lines))) == {Position(0, 1, seq) for seq in seqs}
