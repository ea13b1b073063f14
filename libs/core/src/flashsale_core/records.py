"""What the scripts write to Redis: a sale's hash, the packed order record of lua/lib/record.lua, and the entries of an outbox."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from flashsale_core.orders import KEPT, LETTERS, WAITING, State


@dataclass(frozen=True, slots=True)
class OrderRecord:
    state: State
    user_id: str
    quantity: int
    deadline_ms: int
    traceparent: str = ""
    payment_id: str = ""
    refunded_payment_ids: tuple[str, ...] = ()
    return_letter: str = ""
    """RESTOCKED, WAITING or KEPT if the order is returned; else empty."""

    @property
    def letter(self) -> str:
        return self.return_letter or _LETTER_OF[self.state]

    @property
    def sold_units(self) -> int:
        """The units that the sale counts as sold for this order."""
        return self.quantity if self.letter in SOLD else 0


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of an outbox: one or more messages as lines of JSON, for one routing key."""

    stream: str
    entry_id: str
    routing_key: str
    body: bytes


TERMS = ("state", "starts_ms", "ends_ms", "max_per_user", "hold_seconds", "rate_requests", "rate_seconds")
"""The fields of a sale that `reserve` decides by, in the order in which lua/lib/terms.lua packs them."""
_PACKED_TERMS = b"terms"
INTERNAL_FIELDS = frozenset({_PACKED_TERMS, b"announced", b"unannounced", b"requests"})
"""Fields of a sale's hash that only scripts need (lua/lib/definition.lua)."""
MAX_RELEASED = 20
"""How many orders of one buyer may expire or be cancelled if the sale has no limit of its own (lua/lib/terms.lua)."""
SOLD = frozenset({"P", WAITING, KEPT})
"""The letters of orders whose units the sale counts as sold."""
_LETTER_OF = {state: letter for letter, state in LETTERS.items()}
_decoder = msgspec.msgpack.Decoder(list[Any])


def unpack_record(packed: bytes) -> OrderRecord:
    return _from_fields(_decoder.decode(packed))


def record_fields(record: OrderRecord) -> list[Any]:
    """The fields of a record as the scripts pack them: trailing ones are left out while they are empty."""
    fields = [record.letter, record.user_id, record.quantity, record.deadline_ms]
    if record.refunded_payment_ids:
        return [*fields, record.traceparent, record.payment_id, *record.refunded_payment_ids]
    if record.payment_id:
        return [*fields, record.traceparent, record.payment_id]
    return [*fields, record.traceparent] if record.traceparent else fields


def _from_fields(fields: Sequence[Any]) -> OrderRecord:
    letter, user_id, quantity, deadline_ms, *rest = fields
    traceparent, payment_id, *refunded = [*rest, "", ""][: max(len(rest), 2)]
    return_letter = letter if LETTERS[letter] is State.RETURNED else ""
    return OrderRecord(LETTERS[letter], user_id, int(quantity), int(deadline_ms), traceparent, payment_id, tuple(refunded), return_letter)


def stale_terms(fields: Mapping[bytes, bytes]) -> tuple[str, ...]:
    """The fields of a sale whose packed copy has another value: all of them if it cannot be read, none if there is no copy."""
    packed = fields.get(_PACKED_TERMS)
    if packed is None:
        return ()
    # Terms that an older release packed lack the limit of released orders, or only the durability, which then is `fsync`.
    copies = next((copies for more in (2, 1, 0) if (copies := _unpack_terms(packed, len(TERMS) + more))), None)
    if copies is None:
        return TERMS
    further = copies[len(TERMS) :]
    released, confirmed = further[0] if further else None, len(further) > 1 and further[1]
    stale = [
        name for name, copy in zip(TERMS, copies, strict=False) if str(copy) != fields.get(name.encode(), b"").decode(errors="replace")
    ]
    stale += ["max_released"] if released not in (None, _released_limit(fields)) else []
    stale += ["durability"] if confirmed != (fields.get(b"durability") == b"confirmed") else []
    return tuple(stale)


def _unpack_terms(packed: bytes, values: int) -> list[Any] | None:
    """The values, or None if they cannot be read. The script packs them without the header of an array, so it is added here."""
    try:
        return _decoder.decode(bytes([0x90 | values]) + packed)
    except msgspec.DecodeError:
        return None


def _released_limit(fields: Mapping[bytes, bytes]) -> int:
    if fields.get(b"limits_released") != b"1":
        return 0
    limit = fields.get(b"max_released", b"%d" % MAX_RELEASED)
    return int(limit) if limit.isdigit() else -1


def is_tombstone(fields: Mapping[bytes, bytes]) -> bool:
    """Whether a sale's hash is what remains of a removed sale (lua/lib/tombstone.lua)."""
    return b"removed_ms" in fields and b"total" not in fields


def sale_fields(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    """A sale's hash without the fields that only scripts need (lua/lib/definition.lua); empty for a tombstone.

    Never raises: a sale whose data is broken must not keep a reader from the others.
    """
    if is_tombstone(fields):
        return {}
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in fields.items() if name not in INTERNAL_FIELDS}
