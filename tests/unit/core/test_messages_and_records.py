from typing import Any

import msgspec
import pytest

from flashsale_core.messages import (
    LedgerMarker,
    Message,
    OrderLine,
    OrdersCancelled,
    OrdersExpired,
    OrdersReserved,
    PaymentLine,
    PaymentsRecorded,
    Position,
    ReservedLine,
    SaleDefined,
    SaleRetired,
    WaitProbed,
    decode,
    encode,
    join,
    read,
    read_wait,
)  # fmt: skip
from flashsale_core.orders import State
from flashsale_core.records import OrderRecord, unpack_record

HEAD: Any = {"v": 1, "sale": "iphone", "epoch": 1, "at": 2}
MESSAGES: list[Message] = [
    OrdersReserved(**HEAD, deadline=3, orders=[ReservedLine("o", "u", 1), ReservedLine("p", "u", 1, "00-a-b-01")]),
    OrdersExpired(**HEAD, orders=[OrderLine("o", "u", 1, 5)]),
    OrdersCancelled(**HEAD, orders=[OrderLine("o", "u", 1, 5, "00-a-b-01")]),
    PaymentsRecorded(**HEAD, payments=[PaymentLine("o", "p", "paid", "", 1, "EUR", "u", 1, 5)]),
    SaleDefined(
        **HEAD, owner="admin", generation=1, total=1, available=1, reserved=0, sold=0, starts_ms=0, ends_ms=0, max_per_user=0,
        hold_seconds=5, rate_requests=0, rate_seconds=1, late_payment="refund", state="open",
    ),
    SaleRetired(**HEAD, state="closed", total=1, available=1, reserved=0, sold=0),
    LedgerMarker(v=1, marker="0b5f1f0a-1f3f-4c1c-9d52-0b0f6a6f7a11", at=2),
]  # fmt: skip


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_message_reads_back(message: Message) -> None:
    assert decode(encode(message)) == message


@pytest.mark.parametrize("message", [message for message in MESSAGES if not isinstance(message, LedgerMarker)])
def test_both_decoders_read_a_message_with_and_without_its_position(message: Any) -> None:
    positioned = msgspec.structs.replace(message, seq=Position(15, 2, 2_000_000))
    new = encode(positioned)
    old = msgspec.json.encode({name: value for name, value in msgspec.json.decode(encode(message)).items() if name != "seq"})
    assert (b'"seq":[15,2,2000000]' in new, b"seq" in old) == (True, False)
    assert read(join([new, old])) == read_wait(join([new, old])) == ([positioned, message], [])


def test_definition_of_an_older_release_gets_the_default_terms() -> None:
    fields = msgspec.json.decode(encode(MESSAGES[4]))
    old = {name: value for name, value in fields.items() if name not in ("max_released", "base", "durability")}
    assert decode(msgspec.json.encode(old)) == msgspec.structs.replace(MESSAGES[4], max_released=20, base=0, durability="fsync")


@pytest.mark.parametrize("seq", [[-1, 1, 1], [2**31, 1, 1], [0, 1, 2**53 + 1], [0, 1], [0, 1, 1.5], "1-2-3"])
def test_position_that_the_ledger_could_not_store_is_refused(seq: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(msgspec.json.encode({**msgspec.json.decode(encode(MESSAGES[1])), "seq": seq}))


@pytest.mark.parametrize("fields", [{"marker": "\x00"}, {"marker": "m"}, {"at": -1}, {"at": 10**15}])
def test_marker_that_the_ledger_could_not_store_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(msgspec.json.encode({**msgspec.json.decode(encode(MESSAGES[-1])), **fields}))


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"[]", b"\xff", b'{"type":"order.unknown","v":1}',
        b'{"type":"order.expired","v":2,"sale":"s","epoch":1,"at":1,"orders":[]}',
        b'{"type":"order.expired","v":1,"sale":"s","epoch":1,"at":1,"orders":[["o"]]}',
        b'{"type":"order.expired","v":1,"sale":"s","epoch":1,"at":1,"orders":{}}',
    ],
)  # fmt: skip
def test_body_that_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - msgspec's errors and UnicodeDecodeError have this in common
        decode(body)


def test_bad_line_of_a_body_does_not_hide_the_other_messages() -> None:
    first, *others = map(encode, MESSAGES)
    assert read(join([first, *others])) == (MESSAGES, [])
    messages, errors = read(join([first, b"{", b"", *others]))
    assert (messages, len(errors)) == (MESSAGES, 2)


def test_probe_is_a_message_only_in_a_wait_queue() -> None:
    probe = WaitProbed(v=1, window=60, at=1)
    body = join([encode(probe), encode(MESSAGES[0])])
    assert read_wait(body) == ([probe, MESSAGES[0]], [])
    assert len(read(body).errors) == 1


@pytest.mark.parametrize(
    ("fields", "record"),
    [
        (["R", "u", 2, 5], OrderRecord(State.RESERVED, "u", 2, 5)),
        (["R", "u", 2, 5, "00-a-b-01"], OrderRecord(State.RESERVED, "u", 2, 5, "00-a-b-01")),
        (["P", "u", 2, 5, "", "p1"], OrderRecord(State.PAID, "u", 2, 5, "", "p1")),
        (["X", "u", 2, 5, "", "", "p1", "p2"], OrderRecord(State.EXPIRED, "u", 2, 5, "", "", ("p1", "p2"))),
    ],
)
def test_record_is_unpacked_with_its_optional_fields(fields: list[Any], record: OrderRecord) -> None:
    assert unpack_record(msgspec.msgpack.encode(fields)) == record
