"""Sends holds back to a wait queue when their message returned before they were due. Pure.

This happens, for instance, when Redis' clock was set back.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from flashsale_consumer import Publication
from flashsale_core import topology
from flashsale_core.messages import OrdersReserved, encode, join


def requeue_not_due(
    messages: Sequence[OrdersReserved], not_due: Mapping[str, Mapping[str, int]], windows: Sequence[int]
) -> Publication | None:
    """The message for all holds that are not due, or None. `not_due` contains the time left in ms, by sale and order.

    It returns when the first hold is due or a payment window has passed; holds that are not due then are sent back again. It is a single
    message, not one for each window: the broker accepts or refuses it as a whole, so a batch that is retried leaves no copies behind.
    """
    left_ms = [ms for orders in not_due.values() for ms in orders.values()]
    if not left_ms:
        return None
    window = suitable_window(min(left_ms), windows)
    life_seconds = min(max(min(left_ms), 1), window * 1000) / 1000
    return Publication(topology.PROBES_EXCHANGE, str(window), join(map(encode, _only_not_due(messages, not_due))), life_seconds)


def suitable_window(left_ms: int, windows: Iterable[int]) -> int:
    """The longest window that ends in time, otherwise the shortest. Behind other messages it waits longer, but at most a window."""
    ordered = sorted(windows)
    return max((window for window in ordered if window * 1000 <= left_ms), default=ordered[0])


def _only_not_due(messages: Iterable[OrdersReserved], not_due: Mapping[str, Mapping[str, int]]) -> Iterator[OrdersReserved]:
    added: set[tuple[str, str]] = set()
    for message in messages:
        of_sale = not_due.get(message.sale, {})
        # The orders of a message that was delivered twice are sent back once.
        orders = [line for line in message.orders if line.order_id in of_sale and (message.sale, line.order_id) not in added]
        added.update((message.sale, line.order_id) for line in orders)
        if orders:
            yield msgspec.structs.replace(message, orders=orders)
