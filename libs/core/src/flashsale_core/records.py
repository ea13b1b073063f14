"""The packed order record of the orders hash, as lua/lib/records.lua writes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from flashsale_core.orders import LETTERS, State


@dataclass(frozen=True, slots=True)
class OrderRecord:
    state: State
    user_id: str
    quantity: int
    deadline_ms: int
    traceparent: str = ""
    payment_id: str = ""
    refunded_payment_ids: tuple[str, ...] = ()


_decoder = msgspec.msgpack.Decoder(list[Any])


def unpack_record(packed: bytes) -> OrderRecord:
    return _from_fields(_decoder.decode(packed))


def _from_fields(fields: Sequence[Any]) -> OrderRecord:
    letter, user_id, quantity, deadline_ms, *rest = fields
    traceparent, payment_id, *refunded = [*rest, "", ""][: max(len(rest), 2)]
    return OrderRecord(LETTERS[letter], user_id, int(quantity), int(deadline_ms), traceparent, payment_id, tuple(refunded))
