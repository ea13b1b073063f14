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


TERMS = ("state", "starts_ms", "ends_ms", "max_per_user", "hold_seconds", "rate_requests", "rate_seconds")
"""The fields of a sale that `reserve` goes by, in the order in which lua/lib/terms.lua packs them."""
_PACKED_TERMS = b"terms"
_ARRAY_OF_TERMS = bytes([0x90 | len(TERMS)])
"""The head of a MessagePack array of so many: the script packs its values one after the other, without one."""
_decoder = msgspec.msgpack.Decoder(list[Any])


def unpack_record(packed: bytes) -> OrderRecord:
    return _from_fields(_decoder.decode(packed))


def _from_fields(fields: Sequence[Any]) -> OrderRecord:
    letter, user_id, quantity, deadline_ms, *rest = fields
    traceparent, payment_id, *refunded = [*rest, "", ""][: max(len(rest), 2)]
    return OrderRecord(LETTERS[letter], user_id, int(quantity), int(deadline_ms), traceparent, payment_id, tuple(refunded))


def stale_terms(fields: Mapping[bytes, bytes]) -> tuple[str, ...]:
    """Of a sale's hash the fields whose packed copy says something else: all of them when it cannot be read, none when there is no copy."""
    packed = fields.get(_PACKED_TERMS)
    if packed is None:
        return ()
    try:
        copies = _decoder.decode(_ARRAY_OF_TERMS + packed)
    except msgspec.DecodeError:
        return TERMS
    return tuple(
        name for name, copy in zip(TERMS, copies, strict=True) if str(copy) != fields.get(name.encode(), b"").decode(errors="replace")
    )


def is_tombstone(fields: Mapping[bytes, bytes]) -> bool:
    """Whether a sale's hash is what stays of a removed sale (lua/lib/tombstone.lua)."""
    return b"removed_ms" in fields and b"total" not in fields


def sale_in_words(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    """A sale's hash without its packed terms, which repeat some of the fields for `reserve` (lua/lib/terms.lua); empty for a tombstone.

    Never raises: one hash that holds no text must not keep a reader from the others.
    """
    if is_tombstone(fields):
        return {}
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in fields.items() if name != _PACKED_TERMS}
