from flashsale_core.messages import positions_in
from flashsale_recovery.ledger import Previous


def test_positions_are_read_from_the_lines_of_an_entry() -> None:
    body = b'{"type":"order.expired","seq":[3,1,17]}\n{"type":"sale.retired"}\n{"seq":[3,2,1000018]}'
    assert positions_in(body) == [(3, 1, 17), (3, 2, 1000018)]


def test_field_that_contains_no_message_has_no_position() -> None:
    assert [position for field in (b"order.expired", b"1700000000000", b"") for position in positions_in(field)] == []


def test_jump_to_the_next_incarnation_is_no_loss() -> None:
    ended = Previous(incarnation=1, first_seq=1, next_first_seq=1_000_500)
    assert ended.last_seq(0) == 500
    assert ended.last_seq(520) == 520
    # A position of the next incarnation proves nothing about this one.
    assert ended.last_seq(1_000_700) == 500
