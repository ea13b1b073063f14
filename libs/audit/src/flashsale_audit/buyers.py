"""Which buyers of a pass over a sale's orders must be looked at again. Pure: looks in, users out."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from flashsale_audit.compare import HOLDING, RELEASED_STATES
from flashsale_audit.look import Look
from flashsale_audit.records import Record

PLACES = 1 << 23
HASH_SHIFT = 32


@dataclass(slots=True)
class BuyerPass:
    """Most buyers have all their orders on one page, where orders and units are of one moment. Only the others are kept."""

    salt: int
    """Another one for each pass, so that two users who share a place do so only once. Odd."""
    open: dict[str, set[str]] = field(default_factory=dict)
    """Users whose units are not those of the orders of one page, with the orders that are known of them."""
    released: Counter[str] = field(default_factory=Counter)
    """The released orders of each buyer, of all pages."""
    _seen: bytearray = field(default_factory=lambda: bytearray(PLACES))

    def add(self, page: Look) -> None:
        held = dict.fromkeys(page.units, 0)
        for record in page.records.values():
            if record.state in HOLDING:
                held[record.user_id] = held.get(record.user_id, 0) + record.quantity
            elif record.state in RELEASED_STATES:
                self.released[record.user_id] += 1
        # A user with an order that cannot be read may have no other one.
        self._mark({record.user_id for record in page.records.values()} if page.unreadable else held)
        known = self.open.keys() & held.keys()
        if not known and held == page.units:
            return
        further = known | {user for user, units in held.items() if units != page.units.get(user, 0)}
        for order_id, record in page.records.items():
            if record.user_id in further:
                self.open.setdefault(record.user_id, set()).add(order_id)

    def add_noted(self, noted: Mapping[str, int]) -> None:
        """Add a page of the buyers for whom the sale counts units: one without an order in this pass must be looked at."""
        for user, units in noted.items():
            if units and not self._is_seen(user):
                self.open.setdefault(user, set())

    def _mark(self, users: Iterable[str]) -> None:
        for user in users:
            self._seen[hash(user) * self.salt >> HASH_SHIFT & PLACES - 1] = 1

    def _is_seen(self, user: str) -> bool:
        return self._seen[hash(user) * self.salt >> HASH_SHIFT & PLACES - 1] == 1


def units_of(user: str, records: Mapping[str, Record], order_ids: set[str]) -> int:
    """The units that the buyer holds or bought by the named orders."""
    orders = (records[order_id] for order_id in order_ids if order_id in records)
    return sum(order.quantity for order in orders if order.user_id == user and order.state in HOLDING)
