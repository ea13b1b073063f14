"""Which holds are broken when orders have more units than the sale: a release was lost, and its units were sold again. Pure.

First the overdue holds, the longest overdue first: most probably it was their release that was lost. Then the youngest holds: they lost the
race for the units last (decision 0030). A paid order is never broken.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple


class Hold(NamedTuple):
    order_id: str
    user_id: str
    quantity: int
    deadline_ms: int
    reserved_ms: int

    def released_ms(self, stopped_ms: int) -> int:
        """When the ledger's history lets the hold end, if it is broken: at its deadline, or at its beginning if that was not reached.

        Another time would let the history contain more units than the sale had.
        """
        return self.deadline_ms if self.deadline_ms <= stopped_ms else self.reserved_ms


def excess(total: int, held: int, sold: int) -> int:
    """The units that orders have and the sale has not."""
    return max(0, held + sold - total)


def holds_to_break(holds: Iterable[Hold], units: int, stopped_ms: int) -> list[Hold]:
    """The fewest holds, in the order of breaking, that have at least `units` units; all of them if they have fewer.

    `stopped_ms` is when the sale last could release a hold. Memory grows with `units`, not with the number of holds.
    """
    kept: list[tuple[tuple[int, int, str], Hold]] = []
    sum_units = 0
    for hold in holds:
        turn = (_turn(hold, stopped_ms), hold)
        place = bisect_left(kept, turn)
        if kept[place : place + 1] == [turn]:
            # Redis may return an order twice while it resizes the hash.
            continue
        kept.insert(place, turn)
        sum_units += hold.quantity
        while kept and sum_units - kept[-1][1].quantity >= units:
            sum_units -= kept.pop()[1].quantity
    return [hold for _, hold in kept]


def _turn(hold: Hold, stopped_ms: int) -> tuple[int, int, str]:
    """Sorts holds by their turn. The order's id decides between equals, so that a repeat breaks the same holds."""
    overdue = hold.deadline_ms <= stopped_ms
    return (0, hold.deadline_ms, hold.order_id) if overdue else (1, -hold.reserved_ms, hold.order_id)
