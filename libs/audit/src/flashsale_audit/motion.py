"""What the sums of a sale's orders can be when the orders are read one after the other while the sale moves. Pure.

An order climbs: reserved once, paid at most once, and then returned at most once. So each sum lies between bounds that two looks at the
counters give, one at the first page and one at the last. If nothing moved between them, the bounds are one number.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from flashsale_audit.differences import Difference, Kind
from flashsale_audit.facts import Counters, OrderTotals, TotalsByState
from flashsale_core.orders import State


@dataclass(frozen=True, slots=True)
class Motion:
    """The counters at the first page of a pass over a sale's orders, and at its last page."""

    first: Counters
    last: Counters

    @property
    def still(self) -> bool:
        """Whether no order of the sale changed between the two looks.

        Orders, returned and restocked units only become more, and sold units as well unless some are restocked. So all numbers return to
        their value only if nothing moved.
        """
        return _numbers(self.first) == _numbers(self.last)

    @property
    def same_sale(self) -> bool:
        """False if the sale was replaced or got another stock in between: then the two looks cannot be compared."""
        return (self.first.epoch, self.first.total) == (self.last.epoch, self.last.total)

    @property
    def reserved_since(self) -> int:
        """At most this many units were reserved between the looks."""
        limits = [counters.max_per_user or counters.total for counters in (self.first, self.last)]
        return max(self.last.orders - self.first.orders, 0) * max(limits)

    @property
    def sold_since(self) -> int:
        """At most this many units were sold between the looks."""
        return self.last.sold - self.first.sold + self.restocked_since

    @property
    def restocked_since(self) -> int:
        """At most this many sold units were for sale again between the looks."""
        return self.last.restocked - self.first.restocked


def compare_sums(motion: Motion, redis: TotalsByState) -> Iterator[Difference]:
    """Compare the counters with the sums of the orders that were read between the two looks."""
    first, last = motion.first, motion.last
    reserved, sold = redis.get(State.RESERVED, OrderTotals()).units, sum(total.sold for total in redis.values())
    held_back = last.reserved - motion.reserved_since
    if not held_back <= reserved <= first.reserved + motion.reserved_since:
        yield Difference(Kind.RESERVED_UNITS, last.sale_id, f"the sale counts {last.reserved} reserved, its orders hold {reserved}")
    if not first.sold - motion.restocked_since <= sold <= last.sold + motion.restocked_since:
        yield Difference(Kind.SOLD_UNITS, last.sale_id, f"the sale counts {last.sold} sold, its orders have {sold}")
    # An order that was held at first and one that got its units later may both be in the sum.
    if reserved + sold > last.total + motion.reserved_since + motion.sold_since:
        yield Difference(Kind.OVERSOLD, last.sale_id, f"orders have {reserved + sold} units, the sale has {last.total}")


def _numbers(counters: Counters) -> tuple[int, ...]:
    return (
        counters.epoch,
        counters.total,
        counters.available,
        counters.reserved,
        counters.sold,
        counters.orders,
        counters.returned,
        counters.restocked,
    )
