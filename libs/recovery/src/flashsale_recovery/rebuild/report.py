"""What a rebuild did, or would do. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from flashsale_recovery.rebuild.deficit import Hold


class Orphans(NamedTuple):
    """Orders of a sale that neither ledger nor Redis defines. Its stock is not known, so it stays closed."""

    sale_id: str
    epoch: int
    orders: int


class Quarantined(NamedTuple):
    """A record in the quarantine."""

    field: str
    order_id: str
    epoch: int | None
    """The sale's; None if an earlier release kept it, which is taken for the present sale's."""


class Conflict(NamedTuple):
    """An order that a person must look at."""

    order: str
    """<sale>.<order id>"""
    payment_id: str
    words: str


@dataclass(frozen=True, slots=True)
class Repair:
    """What was damaged of a sale in Redis."""

    sale_id: str
    epoch: int
    wrong_types: Sequence[str]
    """Keys of the sale (sale, orders, buyers) that were deleted: they have another type, or the sale's hash cannot be read."""
    recounted: bool
    """Whether the buyers were counted by their orders."""
    known: Sequence[str] = ()
    """Orders whose records could not be read, and that the ledger has: they come from there."""
    unknown: Sequence[str] = ()
    """Orders whose records could not be read, and that the ledger lacks: they go to the quarantine."""
    settled: Sequence[Quarantined] = ()
    """Those that leave the quarantine, because the ledger has them by now."""
    quarantined: Sequence[str] = ()
    """Orders that stay in the quarantine."""

    @property
    def unreadable_orders(self) -> list[str]:
        """As clients name them."""
        return [f"{self.sale_id}.{order_id}" for order_id in (*self.known, *self.unknown)]

    @property
    def doubtful_orders(self) -> list[str]:
        return [f"{self.sale_id}.{order_id}" for order_id in (*self.unknown, *self.quarantined)]


@dataclass(slots=True)
class SaleReport:
    sale_id: str
    epoch: int
    total: int
    """The stock that was defined."""
    state: str
    orders: int = 0
    """Orders of ledger and Redis together."""
    reserved: int = 0
    """Units, after holds were broken."""
    sold: int = 0
    """Units of paid orders, and of returned ones that are not for sale again."""
    returned: int = 0
    """Units of returned orders, for sale again or not."""
    restocked: int = 0
    """Those of them that are for sale again."""
    lacking: int = 0
    """States of orders that the ledger lacked."""
    written: int = 0
    """Orders that Redis lacked, or had in an earlier state."""
    entries: int = 0
    """Messages that went to the outbox again, with what the ledger lacked."""
    broken: list[Hold] = field(default_factory=list)
    """Holds that had to end because their units were sold again, in the order of breaking."""
    conflicts: list[Conflict] = field(default_factory=list)
    closed: str = ""
    """Why the sale stays closed; empty if it opens with its shard."""
    seconds: float = 0.0

    @property
    def oversold(self) -> int:
        """Paid units beyond the stock. Lost data let them be sold twice, and both buyers paid."""
        return max(0, self.sold - self.total)

    @property
    def available(self) -> int:
        return max(0, self.total - self.reserved - self.sold)

    @property
    def units_broken(self) -> int:
        return sum(hold.quantity for hold in self.broken)


@dataclass(slots=True)
class RebuildReport:
    sales: list[SaleReport] = field(default_factory=list)
    tombstones: int = 0
    strays: int = 0
    orphans: list[Orphans] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """Sales whose hash in Redis could not be read, and which the ledger does not have either. They stay closed."""
    repairs: list[Repair] = field(default_factory=list)
    faulty: dict[str, str] = field(default_factory=dict)
    """Sales that were closed because they are not what the ledger says after the rebuild, with the first fault."""
    seconds: float = 0.0

    @property
    def orders(self) -> int:
        return sum(sale.orders for sale in self.sales)

    @property
    def entries(self) -> int:
        return sum(sale.entries for sale in self.sales)

    @property
    def closed(self) -> dict[str, str]:
        """Why some sales stay closed although their shard opens, by sale."""
        unreadable = dict.fromkeys(self.unreadable, "its hash in Redis cannot be read, and the ledger does not have it")
        orphans = {each.sale_id: f"its definition is lost, and the ledger has {each.orders} of its orders" for each in self.orphans}
        return unreadable | orphans | {sale.sale_id: sale.closed for sale in self.sales if sale.closed} | self.faulty

    @property
    def conflicts(self) -> list[Conflict]:
        return [conflict for sale in self.sales for conflict in sale.conflicts]

    @property
    def broken(self) -> list[tuple[str, Hold]]:
        """Each broken hold with its sale."""
        return [(sale.sale_id, hold) for sale in self.sales for hold in sale.broken]
