"""Reads many packed records at once: a call of the decoder for each order would be the most expensive part of the audit. Pure."""

from collections.abc import Mapping, Sequence
from typing import Generic, Literal, TypeVar, cast

import msgspec

from flashsale_core.orders import LETTERS, State
from flashsale_core.records import OrderRecord, unpack_record

Letter = Literal["R", "P", "X", "C", "T", "W", "K"]
_WITHOUT_REFUND = 0x96
"""The longest record without a refunded payment begins with this byte: an array of 6 fields."""
_ARRAY = b"\xdd"
"""Begins an array of msgpack whose length follows in 4 bytes."""


class PageRecord(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What the audit compares of an order; further fields are ignored."""

    letter: Letter
    user_id: str
    quantity: int
    deadline_ms: int
    traceparent: str = ""
    payment_id: str = ""

    @property
    def state(self) -> State:
        return LETTERS[self.letter]


class _Buyer(msgspec.Struct, array_like=True, gc=False):
    letter: str
    user_id: str


Record = PageRecord
T = TypeVar("T")


class _Many(Generic[T]):
    def __init__(self, decoder: "msgspec.msgpack.Decoder[list[T]]") -> None:
        self._decoder = decoder

    def decode(self, packed: Sequence[bytes]) -> list[T] | None:
        """None unless all can be read. Whatever is wrong with one of them, what follows it has another length."""
        try:
            return self._decoder.decode(_ARRAY + len(packed).to_bytes(4, "big") + b"".join(packed))
        except ValueError:
            return None


_records = _Many(msgspec.msgpack.Decoder(list[PageRecord]))
_buyers = _Many(msgspec.msgpack.Decoder(list[_Buyer]))


def read_records(packed: Mapping[str, bytes | None]) -> tuple[dict[str, Record], list[str]]:
    """The readable records, and the ids of the others. A record that is missing is in neither."""
    present = {name: record for name, record in packed.items() if record is not None}
    if (records := _records.decode(list(present.values()))) is not None:
        return dict(zip(present, records, strict=True)), []
    each = dict(zip(present, map(_read, present.values()), strict=True))
    return {name: record for name, record in each.items() if record is not None}, [name for name in each if each[name] is None]


def _read(packed: bytes) -> Record | None:
    order = _unpacked(packed)
    if order is None:
        return None
    return PageRecord(_letter(order), order.user_id, order.quantity, order.deadline_ms, order.traceparent, order.payment_id)


def _unpacked(packed: bytes) -> OrderRecord | None:
    try:
        return unpack_record(packed)
    except (ValueError, KeyError, TypeError):
        return None


def _letter(order: OrderRecord) -> Letter:
    # `unpack_record` refuses every other letter.
    return cast(Letter, order.letter)


def read_refunded(packed: Mapping[str, bytes | None]) -> dict[str, Sequence[str]]:
    """The refunded payments of each readable order that has some."""
    long = {name: _unpacked(record) for name, record in packed.items() if record and record[0] > _WITHOUT_REFUND}
    # Whatever was written by hand is compared as text.
    return {name: [str(payment) for payment in order.refunded_payment_ids] for name, order in long.items() if order is not None}


def read_users(packed: Mapping[bytes, bytes]) -> dict[bytes, str]:
    """The buyer of each readable order, by its id."""
    if (buyers := _buyers.decode(list(packed.values()))) is not None:
        return {order_id: buyer.user_id for order_id, buyer in zip(packed, buyers, strict=True)}
    records = {order_id: _read(record) for order_id, record in packed.items()}
    return {order_id: record.user_id for order_id, record in records.items() if record is not None}
