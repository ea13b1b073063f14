"""The contents of the stores as values. The readers create them, `compare` judges them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from flashsale_core.orders import LETTERS, State
from flashsale_core.records import MAX_RELEASED, SOLD


@dataclass(frozen=True, slots=True)
class OrderTotals:
    orders: int = 0
    units: int = 0
    sold: int = 0
    """The units among them that the sale counts as sold: of paid orders, and of returned ones that are not for sale again."""

    def __add__(self, other: "OrderTotals") -> "OrderTotals":
        return OrderTotals(self.orders + other.orders, self.units + other.units, self.sold + other.sold)


DEFINITION: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("owner", "generation", "state", "starts_ms", "ends_ms", "max_per_user", "hold_seconds"), "")
    | dict.fromkeys(("rate_requests", "rate_seconds", "late_payment"), "")
    | {"base": "0", "max_released": str(MAX_RELEASED), "durability": "fsync", "price": ""}
)
"""The fields of a sale that the ledger has as well, and what the scripts use for one that the sale lacks."""

TotalsByState = Mapping[State, OrderTotals]
"""By state; a state without orders may be missing."""


def totals_of(counts: Iterable[tuple[str, int, int]]) -> TotalsByState:
    """`counts` has the letter of a state, a quantity, and how many orders have both."""
    sums: dict[State, OrderTotals] = {}
    for letter, quantity, orders in counts:
        state, units = LETTERS[letter], orders * quantity
        sums[state] = sums.get(state, OrderTotals()) + OrderTotals(orders, units, units if letter in SOLD else 0)
    return sums


@dataclass(frozen=True, slots=True)
class Counters:
    """The numbers of a sale in Redis, of one moment."""

    sale_id: str
    epoch: int
    total: int
    available: int
    reserved: int
    sold: int
    definition: Mapping[str, str] = field(default_factory=dict)
    """The fields of DEFINITION, as text, and `total`."""
    stale_terms: tuple[str, ...] = ()
    """The fields of the definition for which the script that decides orders uses another value."""
    orders: int = 0
    """The number of its orders, in all states."""
    max_per_user: int = 0
    """0: no limit."""
    incarnation: int = 0
    """The history of its shard's Redis."""
    returned: int = 0
    """Units of orders that were returned; it only rises."""
    restocked: int = 0
    """Those of them that are for sale again."""


@dataclass(frozen=True, slots=True)
class LedgerOrder:
    state: State
    user_id: str
    quantity: int
    payment_id: str = ""


class Counted(NamedTuple):
    """What a sale counts for a buyer."""

    number: int
    at_ms: int
    """When Redis had this number, by its clock."""


class Released(NamedTuple):
    """How many orders of a buyer expired or were cancelled, by the ledger."""

    least: int
    most: int
    """If the ledger lost entries, the expiry of a paid order may be among them."""
    before_moment: int | None = None
    """Those before a moment of Redis' clock; None if one was released in its millisecond."""


@dataclass(frozen=True, slots=True)
class Violations:
    """Rows that must not exist: how many there are, and the names of the first few."""

    count: int = 0
    names: tuple[str, ...] = ()


NO_VIOLATIONS = Violations()


@dataclass(frozen=True, slots=True)
class History:
    """The orders of one epoch of a sale whose history in the ledger is wrong."""

    without_reserved_event: Violations = NO_VIOLATIONS
    """Orders whose history does not begin with a hold."""
    with_other_history: Violations = NO_VIOLATIONS
    """Orders whose history does not lead to their state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """The payments of one sale in the ledger."""

    paid_orders_without_payment: Violations = NO_VIOLATIONS
    paid_orders_with_many_payments: Violations = NO_VIOLATIONS
    payments_without_paid_order: Violations = NO_VIOLATIONS
    """Payments with result `paid` whose order is not paid."""
    due_without_refund: Violations = NO_VIOLATIONS
    """Payments with result `refund_due` that have no row in refunds."""
    refunds_without_payment: Violations = NO_VIOLATIONS
    refunds_overpaid: Violations = NO_VIOLATIONS
    """Payments of which more was paid back than was due."""
    received_minor: Mapping[str, int] = field(default_factory=dict)
    """By currency: all payments that succeeded."""
    kept_minor: Mapping[str, int] = field(default_factory=dict)
    """By currency: the payments that paid for orders."""
    refunds_minor: Mapping[str, int] = field(default_factory=dict)
    """By currency: the amounts of the refunds."""
    sent_minor: Mapping[str, int] = field(default_factory=dict)
    """By currency: what of the refunds has been paid back."""


@dataclass(frozen=True, slots=True)
class SaleNumbers:
    """One line of the report: the sale's numbers in each store."""

    counters: Counters
    redis: TotalsByState
    ledger: TotalsByState
