"""What the scripts leave in Redis, in words: a sale's hash, and the packed order record of lua/lib/records.lua."""

from collections.abc import Mapping, Sequence
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


_TERMS = b"terms"
_decoder = msgspec.msgpack.Decoder(list[Any])


def unpack_record(packed: bytes) -> OrderRecord:
    return _from_fields(_decoder.decode(packed))


def _from_fields(fields: Sequence[Any]) -> OrderRecord:
    letter, user_id, quantity, deadline_ms, *rest = fields
    traceparent, payment_id, *refunded = [*rest, "", ""][: max(len(rest), 2)]
    return OrderRecord(LETTERS[letter], user_id, int(quantity), int(deadline_ms), traceparent, payment_id, tuple(refunded))


def sale_in_words(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    """A sale's hash without its packed terms, which repeat some of the fields for `reserve` (lua/lib/terms.lua).

    Never raises: one hash that holds no text must not keep a reader from the others.
    """
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in fields.items() if name != _TERMS}
