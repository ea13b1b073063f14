"""What the ledger and Redis contain about a sale and its orders. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from flashsale_core.orders import KEPT, RESTOCKED, State


class LedgerOrder(msgspec.Struct, frozen=True, gc=False):
    """A row of the ledger."""

    order_id: str
    state: State
    user_id: str
    quantity: int
    deadline_ms: int
    reserved_ms: int | None = None
    """When it was reserved; None if the ledger never received that."""
    payment_id: str = ""
    was_released: bool = False
    """Whether its history has an expiry or a cancellation. An order that was bought again later is paid and was released."""
    is_restocked: bool = False
    """Whether the units of a returned order are for sale again."""

    @property
    def return_letter(self) -> str:
        """As in OrderRecord."""
        return (RESTOCKED if self.is_restocked else KEPT) if self.state is State.RETURNED else ""


class Refund(NamedTuple):
    """A payment that goes back to the buyer, with the reason that settle.lua gave."""

    payment_id: str
    reason: str


class Stray(NamedTuple):
    """A payment for an order that did not exist."""

    sale_id: str
    order_id: str
    payment_id: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Definition:
    """What a sale is, without its counters. Times are in ms since the Unix epoch; 0 means none."""

    sale_id: str
    epoch: int
    owner: str = ""
    generation: int = 0
    changed_ms: int = 0
    base: int = 0
    state: str = "open"
    """open, paused, closed or removed"""
    total: int = 0
    starts_ms: int = 0
    ends_ms: int = 0
    max_per_user: int = 0
    hold_seconds: int = 0
    rate_requests: int = 0
    rate_seconds: int = 1
    max_released: int = 20
    late_payment: str = "refund"
    durability: str = "fsync"
    price: str = ""
    requests: str = ""
    """The request ids of the last changes, oldest first, with blanks between."""
    closed_ms: int = 0
    removed_ms: int = 0

    @property
    def is_removed(self) -> bool:
        return self.state == "removed"


def definition_in_redis(sale_id: str, fields: Mapping[str, str]) -> Definition | None:
    """The definition in a sale's hash, or in its tombstone; None if there is neither. Raises ValueError if a field cannot be read."""
    if "removed_epoch" in fields and "total" not in fields:
        removed_ms = int(fields.get("removed_ms", 0))
        owner = fields.get("removed_owner", "")
        generation = int(fields.get("removed_generation", 0))
        return Definition(sale_id, int(fields["removed_epoch"]), owner, generation, state="removed", removed_ms=removed_ms)
    if "total" not in fields or "epoch" not in fields:
        return None
    numbers = {name: int(fields[name]) for name in _NUMBERS if name in fields}
    texts = {name: fields[name] for name in ("owner", "state", "late_payment", "durability", "price", "requests") if name in fields}
    # The stock of an oversold sale was raised to what is sold (decision 0030).
    numbers["total"] -= int(fields.get("oversold", 0))
    return Definition(sale_id, **numbers, **texts)  # type: ignore[arg-type]


_NUMBERS = (
    "epoch", "generation", "changed_ms", "base", "total", "starts_ms", "ends_ms", "max_per_user", "hold_seconds", "rate_requests",
    "rate_seconds", "max_released", "closed_ms",
)  # fmt: skip
