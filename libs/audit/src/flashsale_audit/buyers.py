"""Which buyers of a pass over a sale's orders must be looked at again. Pure: looks in, users out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from zlib import crc32

from flashsale_audit.compare import HOLDING
from flashsale_audit.look import Look
from flashsale_core.records import OrderRecord

SEEN_BITS = 1 << 23


@dataclass(slots=True)
class BuyerPass:
    """Most buyers have all their orders on one page, where orders and units are of one moment. Only the others are kept."""

    salt: int
    """Another one for each pass, so that two users who share a bit do so only once."""
    open: dict[str, set[str]] = field(default_factory=dict)
    """Users whose units are not those of the orders of one page, with the orders that are known of them."""
    _seen: bytearray = field(default_factory=lambda: bytearray(SEEN_BITS // 8))

    def add(self, page: Look) -> None:
        orders: dict[str, list[str]] = {}
        held: dict[str, int] = {}
        for order_id, record in page.records.items():
            orders.setdefault(record.user_id, []).append(order_id)
            if record.state in HOLDING:
                held[record.user_id] = held.get(record.user_id, 0) + record.quantity
        for user, ids in orders.items():
            self._mark(user)
            if user in self.open:
                self.open[user].update(ids)
            elif held.get(user, 0) != page.units.get(user, 0):
                self.open[user] = set(ids)

    def add_noted(self, noted: Mapping[str, int]) -> None:
        """Add a page of the buyers for whom the sale counts units: one without an order in this pass must be looked at."""
        for user, units in noted.items():
            if units and not self._is_seen(user):
                self.open.setdefault(user, set())

    def _mark(self, user: str) -> None:
        place = self._place(user)
        self._seen[place >> 3] |= 1 << (place & 7)

    def _is_seen(self, user: str) -> bool:
        place = self._place(user)
        return bool(self._seen[place >> 3] & 1 << (place & 7))

    def _place(self, user: str) -> int:
        return crc32(user.encode(), self.salt) % SEEN_BITS


def units_of(user: str, records: Mapping[str, OrderRecord], order_ids: set[str]) -> int:
    """The units that the buyer holds or bought by the named orders."""
    orders = (records[order_id] for order_id in order_ids if order_id in records)
    return sum(order.quantity for order in orders if order.user_id == user and order.state in HOLDING)
