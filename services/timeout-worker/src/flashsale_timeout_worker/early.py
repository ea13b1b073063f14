"""Waits that ended before their holds were due, for instance because Redis' clock was set back: the holds wait again. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from flashsale_consumer import Publication
from flashsale_core import topology
from flashsale_core.messages import OrdersReserved, encode, join


def wait_again(messages: Sequence[OrdersReserved], not_due: Mapping[str, Mapping[str, int]], windows: Sequence[int]) -> Publication | None:
    """One message for all holds that are not due, or None; `not_due` has the time that is left in ms, by sale and order.

    It comes back when the first of them is due or a window has passed, and what is not due then waits once more. One message, and not
    one for each window: the broker takes it or refuses it, so a batch that is tried again leaves no copies behind.
    """
    left_ms = [ms for orders in not_due.values() for ms in orders.values()]
    if not left_ms:
        return None
    window = suitable_window(min(left_ms), windows)
    life_seconds = min(max(min(left_ms), 1), window * 1000) / 1000
    return Publication(topology.PROBES_EXCHANGE, str(window), join(map(encode, _early(messages, not_due))), life_seconds)


def suitable_window(left_ms: int, windows: Iterable[int]) -> int:
    """The longest window that ends in time, else the shortest: in a queue a message waits behind others, but at most a window."""
    ordered = sorted(windows)
    return max((window for window in ordered if window * 1000 <= left_ms), default=ordered[0])


def _early(messages: Iterable[OrdersReserved], not_due: Mapping[str, Mapping[str, int]]) -> Iterator[OrdersReserved]:
    named: set[tuple[str, str]] = set()
    for message in messages:
        early = not_due.get(message.sale, {})
        # A message that was delivered twice waits once.
        orders = [line for line in message.orders if line.order_id in early and (message.sale, line.order_id) not in named]
        named.update((message.sale, line.order_id) for line in orders)
        if orders:
            yield msgspec.structs.replace(message, orders=orders)
