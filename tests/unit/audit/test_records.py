"""Many records are read at once, and one that is damaged does not change what is read of the others."""

import msgspec
import pytest

from flashsale_audit.records import PageRecord, read_records, read_users
from flashsale_core.orders import State

HELD = msgspec.msgpack.encode(["R", "ann", 2, 5_000])
PAID = msgspec.msgpack.encode(["P", "bob", 1, 5_000, "", "pay-1", "refunded-1", "refunded-2"])


def test_readable_records_are_read_without_their_refunds() -> None:
    records, unreadable = read_records({"a": HELD, "b": PAID, "gone": None})
    assert records == {"a": PageRecord("R", "ann", 2, 5_000), "b": PageRecord("P", "bob", 1, 5_000, "", "pay-1")}
    assert ([record.state for record in records.values()], unreadable) == ([State.RESERVED, State.PAID], [])


@pytest.mark.parametrize("damaged", [b"", b"rubbish", HELD[:-1], HELD + HELD, HELD.replace(b"R", b"Z"), msgspec.msgpack.encode({"a": 1})])
def test_damaged_record_is_named_and_the_others_are_read(damaged: bytes) -> None:
    records, unreadable = read_records({"a": HELD, "broken": damaged, "b": PAID})
    assert ({name: record.user_id for name, record in records.items()}, unreadable) == ({"a": "ann", "b": "bob"}, ["broken"])


def test_users_of_readable_records_are_read() -> None:
    assert read_users({b"a": HELD, b"b": PAID}) == {b"a": "ann", b"b": "bob"}
    assert read_users({b"a": HELD, b"broken": b"rubbish"}) == {b"a": "ann"}


def test_records_do_not_depend_on_how_they_were_read() -> None:
    whole, _ = read_records({"a": HELD, "b": PAID})
    each, _ = read_records({"a": HELD, "b": PAID, "broken": b"rubbish"})
    assert whole == each
