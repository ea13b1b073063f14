"""Which script calls give a batch of orders back, and which of them make one round trip. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flashsale_core.chunks import chunked
from flashsale_core.keys import split_deadline_member

CHUNK = 512
"""Most orders in one script call."""
ROUND_CALLS_MAX = 128
ROUND_ORDERS_MAX = 2048
"""Most of one round trip: it must end well within the timeout of a command, even where Redis is slow."""


@dataclass(frozen=True, slots=True)
class Call:
    sale_id: str
    order_ids: Sequence[str]


def calls(orders: Mapping[str, Sequence[str]]) -> Iterator[Call]:
    """The calls for orders by sale."""
    for sale_id, order_ids in orders.items():
        for start in range(0, len(order_ids), CHUNK):
            yield Call(sale_id, order_ids[start : start + CHUNK])


def rounds(asked: Iterable[Call]) -> Iterator[list[Call]]:
    """The calls in their order, cut into round trips."""
    return chunked(asked, ROUND_CALLS_MAX, ROUND_ORDERS_MAX, lambda call: len(call.order_ids))


def by_sale(members: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for member in members:
        sale_id, order_id = split_deadline_member(member)
        found.setdefault(sale_id, []).append(order_id)
    return found
