"""What the stores say, as values. The readers fill them, `compare` judges them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from flashsale_core.orders import State


@dataclass(frozen=True, slots=True)
class OrderTotals:
    orders: int = 0
    units: int = 0

    def __add__(self, other: "OrderTotals") -> "OrderTotals":
        return OrderTotals(self.orders + other.orders, self.units + other.units)


TotalsByState = Mapping[State, OrderTotals]
"""By state; a state nobody is in may be left out."""


@dataclass(frozen=True, slots=True)
class Counters:
    """The numbers of a sale's hash in Redis."""

    sale_id: str
    epoch: int
    total: int
    available: int
    reserved: int
    sold: int
    state: str = "open"
    stale_terms: tuple[str, ...] = ()
    """Fields of the definition that orders are decided by another value of."""


@dataclass(frozen=True, slots=True)
class LedgerOrder:
    state: State
    user_id: str
    quantity: int
    payment_id: str = ""


@dataclass(frozen=True, slots=True)
class Violations:
    """How many there are, and the first few by name."""

    count: int = 0
    names: tuple[str, ...] = ()


NO_VIOLATIONS = Violations()


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSale:
    """What the ledger says of one sale (one epoch of it)."""

    total: int | None
    """None when the ledger has no row of the sale."""
    state: str
    sums: TotalsByState
    peak_units: int | None = None
    """The most units ever held or sold at once, by the history; None when the sale's total may have been another then."""
    without_reserved_event: Violations = NO_VIOLATIONS
    """Orders whose history does not begin with a hold."""
    with_other_history: Violations = NO_VIOLATIONS
    """Orders whose history does not lead to their state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """What the ledger says of the payments of one sale; every Violations lists what should not be."""

    paid_orders_without_payment: Violations = NO_VIOLATIONS
    paid_orders_with_many_payments: Violations = NO_VIOLATIONS
    payments_without_paid_order: Violations = NO_VIOLATIONS
    """Payments with result `paid` whose order is not paid."""
    due_without_refund: Violations = NO_VIOLATIONS
    """Payments with result `refund_due` that have no row in refunds."""
    refunds_without_payment: Violations = NO_VIOLATIONS
    received_minor: Mapping[str, int] = field(default_factory=dict)
    """By currency: all that succeeded."""
    kept_minor: Mapping[str, int] = field(default_factory=dict)
    """By currency: what paid orders brought."""
    refunds_minor: Mapping[str, int] = field(default_factory=dict)
    """By currency: the amounts of the refunds."""


@dataclass(frozen=True, slots=True)
class SaleNumbers:
    """One line of the report: the sale's numbers in each store."""

    counters: Counters
    redis: TotalsByState
    ledger: TotalsByState
