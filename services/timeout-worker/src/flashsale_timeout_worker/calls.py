"""Splits the expiry of many orders into script calls, and the calls into round trips. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flashsale_core.chunks import chunked
from flashsale_core.keys import split_deadline_member

CHUNK = 512
"""Most orders in one script call."""
ROUND_TRIP_CALLS_MAX = 128
ROUND_TRIP_ORDERS_MAX = 2048
"""Most calls and most orders in one round trip. It must end well within the command timeout, even where Redis is slow."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the `expire` script: some orders of one sale."""

    sale_id: str
    order_ids: Sequence[str]


def split_calls(orders: Mapping[str, Sequence[str]]) -> Iterator[Call]:
    """The calls for these orders, given as ids by sale."""
    for sale_id, order_ids in orders.items():
        for start in range(0, len(order_ids), CHUNK):
            yield Call(sale_id, order_ids[start : start + CHUNK])


def round_trips(calls: Iterable[Call]) -> Iterator[list[Call]]:
    """The calls in their order, split into round trips."""
    return chunked(calls, ROUND_TRIP_CALLS_MAX, ROUND_TRIP_ORDERS_MAX, lambda call: len(call.order_ids))


def by_sale(members: Iterable[str]) -> dict[str, list[str]]:
    """Order ids by sale, from members of a shard's set of deadlines."""
    orders: dict[str, list[str]] = {}
    for member in members:
        sale_id, order_id = split_deadline_member(member)
        orders.setdefault(sale_id, []).append(order_id)
    return orders
