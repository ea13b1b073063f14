"""What a rebuild did, or would do. Pure."""

from dataclasses import dataclass, field
from typing import NamedTuple

from flashsale_recovery.rebuild.deficit import Hold


class Orphans(NamedTuple):
    """Orders of a sale that neither ledger nor Redis defines: they cannot be restored, because their stock is not known."""

    sale_id: str
    epoch: int
    orders: int


class Conflict(NamedTuple):
    """An order that a person must look at."""

    order: str
    """<sale>.<order id>"""
    payment_id: str
    words: str


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
    lacking: int = 0
    """States of orders that the ledger lacked."""
    written: int = 0
    """Orders that Redis lacked, or had in an earlier state."""
    entries: int = 0
    """Messages that went to the outbox again, with what the ledger lacked."""
    broken: list[Hold] = field(default_factory=list)
    """Holds that had to end because their units were sold again, in the order of breaking."""
    conflicts: list[Conflict] = field(default_factory=list)
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
    """Sales whose hash in Redis could not be read, and which the ledger does not have either."""
    seconds: float = 0.0

    @property
    def orders(self) -> int:
        return sum(sale.orders for sale in self.sales)

    @property
    def entries(self) -> int:
        return sum(sale.entries for sale in self.sales)

    @property
    def broken(self) -> list[tuple[str, Hold]]:
        """Each broken hold with its sale."""
        return [(sale.sale_id, hold) for sale in self.sales for hold in sale.broken]
