"""Whether `out_of_stock` was true: at some position between what ended before the request and what began after its answer. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from flashsale_chaos.history import Call
from flashsale_chaos.verdict.facts import Incarnation
from flashsale_chaos.verdict.real_time import Placed

Units = Sequence[tuple[int, int]]
"""(seq, available units after it), in ascending order."""
OUT_OF_STOCK = "out_of_stock"


class Clock:
    """Which positions a span of real time can have had, from the orders of one incarnation."""

    def __init__(self, orders: Sequence[Placed]) -> None:
        by_end = sorted(orders, key=lambda order: order.ended)
        by_begin = sorted(orders, key=lambda order: order.began)
        self._ends, self._begins = [order.ended for order in by_end], [order.began for order in by_begin]
        self._highest = list(accumulate((order.seq for order in by_end), max))
        self._lowest = list(accumulate((order.seq for order in reversed(by_begin)), min))[::-1]

    def span(self, began: float, ended: float) -> tuple[int, int] | None:
        """A position that was given before `began`, and one that was given after `ended`; None if either is unknown."""
        before, after = bisect_left(self._ends, began), bisect_right(self._begins, ended)
        if before == 0 or after == len(self._begins):
            return None
        return self._highest[before - 1], self._lowest[after]


def untrue(
    calls: Iterable[Call], orders: Mapping[int, Sequence[Placed]], available: Mapping[str, Units], incarnations: Sequence[Incarnation]
) -> Iterator[str]:
    """Each refusal at whose time the sale had enough units. Those that cannot be placed in one complete incarnation are left out."""
    clocks = {incarnation: Clock(of_it) for incarnation, of_it in orders.items()}
    for call in calls:
        if call.code != OUT_OF_STOCK:
            continue
        number = _incarnation_of(call, incarnations)
        span = clocks[number].span(call.began, call.ended) if number in clocks else None
        least = _least(available.get(call.sale, ()), *span) if span is not None else None
        if least is not None and least >= call.quantity:
            yield f"{call.sale}.{call.order_id}: {call.quantity} units were refused while at least {least} were available"


def _least(units: Units, first: int, last: int) -> int | None:
    """The fewest units from what held at position `first` to before `last`; None if that is unknown."""
    begin = bisect_right(units, (first, float("inf"))) - 1
    end = bisect_left(units, (last, float("-inf")))
    return min((available for _, available in units[begin:end]), default=None) if begin >= 0 else None


def _incarnation_of(call: Call, incarnations: Sequence[Incarnation]) -> int:
    """The incarnation that was open all the time of the call; -1 if there is none."""
    for known, after in zip(incarnations, [*incarnations[1:], None], strict=True):
        if known.opened < call.began and (after is None or call.ended < after.fenced):
            return known.number
    return -1
