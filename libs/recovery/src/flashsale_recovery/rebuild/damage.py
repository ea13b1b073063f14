"""What of a sale in Redis cannot be read, or does not add up. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from flashsale_core.orders import State
from flashsale_core.records import OrderRecord, unpack_record

_UNREADABLE = (msgspec.MsgspecError, ValueError, KeyError, TypeError, OverflowError)
_WITH_UNITS = frozenset({State.RESERVED, State.PAID})


@dataclass(slots=True)
class Damage:
    wrong_types: tuple[str, ...] = ()
    """Which of the sale's keys (sale, orders, buyers) have another type than the scripts write."""
    unreadable: list[str] = field(default_factory=list)
    """The ids of orders whose records cannot be read."""
    counts_differ: bool = False
    """Whether the buyers' counts are not those of the orders, or cannot be read."""

    @property
    def is_any(self) -> bool:
        return bool(self.wrong_types or self.unreadable or self.counts_differ)


@dataclass(slots=True)
class Tally:
    """Counts the units of a sale's orders and buyers: of each buyer, or in a great sale only of all together."""

    is_great: bool
    units: Counter[str] = field(default_factory=Counter)
    """By user, what orders have more than the buyer's count."""
    unreadable: list[str] = field(default_factory=list)
    are_counts_readable: bool = True

    def add_orders(self, fields: Mapping[bytes, bytes]) -> None:
        for order_id, packed in fields.items():
            record = read_record(packed)
            if record is None:
                # An id that is no text cannot be handed to a script: `verify` then finds one order too many, and closes the sale.
                self.unreadable += [order_id.decode()] if order_id.isascii() else []
            elif record.state in _WITH_UNITS:
                self.units["" if self.is_great else record.user_id] += record.quantity

    def add_buyers(self, counts: Mapping[bytes, bytes]) -> None:
        for user, count in counts.items():
            if not count.isdigit():
                self.are_counts_readable = False
            elif not user.startswith(b"#"):
                self.units["" if self.is_great else user.decode(errors="replace")] -= int(count)

    def damage(self, wrong_types: tuple[str, ...]) -> Damage:
        differ = not self.are_counts_readable or any(self.units.values())
        return Damage(wrong_types, self.unreadable, differ or bool(self.unreadable))


def read_record(packed: bytes) -> OrderRecord | None:
    """The record, or None if it cannot be read."""
    try:
        record = unpack_record(packed)
    except _UNREADABLE:
        return None
    texts = (record.user_id, record.traceparent, record.payment_id, *record.refunded_payment_ids)
    return record if record.quantity > 0 and all(isinstance(text, str) for text in texts) else None
