from flashsale_core.messages import positions_in
from flashsale_core.positions import Range
from flashsale_recovery.entries import by_shard, without_received
from flashsale_recovery.ledger import Ended


def test_positions_are_read_from_the_lines_of_an_entry() -> None:
    body = b'{"type":"order.expired","seq":[3,1,17]}\n{"type":"sale.retired"}\n{"seq":[3,2,1000018]}'
    assert positions_in(body) == [(3, 1, 17), (3, 2, 1000018)]


def test_field_that_contains_no_message_has_no_position() -> None:
    assert [position for field in (b"order.expired", b"1700000000000", b"") for position in positions_in(field)] == []


async def test_entries_that_arrived_before_the_opening_are_not_lost() -> None:
    class Received:
        async def settled(self, shard: int, _incarnation: int, _first_seq: int) -> list[Range]:
            return [Range(1, 4), Range(6, 6)] if shard == 3 else [Range(1, 9)]

    lost = {(3, 1): [Range(4, 5), Range(6, 7)], (4, 1): [Range(8, 9)]}
    assert await without_received(Received(), lost) == {(3, 1): [Range(5, 5), Range(7, 7)]}  # type: ignore[arg-type]


def test_lost_entries_of_several_incarnations_are_reported_by_shard() -> None:
    lost = {(3, 2): [Range(1_000_008, 1_000_008)], (3, 1): [Range(5, 5)], (4, 1): [Range(8, 9)]}
    assert by_shard(lost) == {3: [Range(5, 5), Range(1_000_008, 1_000_008)], 4: [Range(8, 9)]}


def test_jump_to_the_next_incarnation_is_no_loss() -> None:
    ended = Ended(incarnation=1, first_seq=1, next_first_seq=1_000_500, closed_seq=None)
    assert ended.last_seq(0) == 500
    assert ended.last_seq(520) == 520
    # A position of the next incarnation proves nothing about this one.
    assert ended.last_seq(1_000_700) == 500
