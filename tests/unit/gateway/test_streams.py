"""Replies of Redis streams as entries, in both versions of its protocol."""

from flashsale_core.records import Entry
from flashsale_gateway.outbox.ages import Head
from flashsale_gateway.outbox.streams import delivery_of, entries_of, head_of, read_entries

FIELDS = {b"k": b"order.reserved.60", b"b": b"{}"}
ENTRY = Entry("s", "1-0", "order.reserved.60", b"{}")


def test_replies_of_both_protocols_are_the_same_entries() -> None:
    raw = [(b"1-0", FIELDS)]
    assert read_entries([[b"s", raw]]) == read_entries({b"s": [raw]}) == [ENTRY]


def test_empty_replies_have_no_entries() -> None:
    assert (read_entries(None), read_entries([]), read_entries({}), head_of([]), head_of(None)) == ([], [], [], None, None)


def test_entry_that_is_already_deleted_is_left_out() -> None:
    assert entries_of("s", [(b"1-0", FIELDS), (b"2-0", None), (b"3-0", {})]) == [ENTRY]


def test_head_has_the_time_of_its_field_or_else_of_its_id() -> None:
    assert head_of([(b"7-1", {**FIELDS, b"t": b"5"})]) == Head("7-1", 5)
    assert head_of([(b"7-1", FIELDS)]) == Head("7-1", 7)


def test_delivery_is_named_only_if_another_consumer_holds_the_entry() -> None:
    pending = [{"message_id": b"1-0", "consumer": b"gone", "times_delivered": 2}]
    assert (delivery_of(pending, "mine"), delivery_of(pending, "gone"), delivery_of([], "mine")) == ("1-0 gone 2", None, None)
