"""Routing keys that the broker refuses: how many entries may try each of them, and when.

A message goes to every queue of its route, and one full queue refuses it for all of them: publishing it again and again would fill the
others with copies. So a refused route rests. Then one entry tries it; if it is confirmed two entries do, then four, and so on. A full
queue that drains slowly gets what it can take, and the other queues get about one copy of each such entry.
"""

import logging
from dataclasses import dataclass

from flashsale_gateway import metrics

PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""How long a route rests, by how many more of its tries were refused than confirmed."""
SOUND_ENTRIES = 256
"""A route that confirmed this number of entries in one try is sound."""
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Route:
    failures: int = 0
    rests_until: float = 0.0
    allowed: int = 1
    in_flight: int = 0
    failed: bool = False
    """Whether a part of the try in flight was refused already."""


class RefusedRoutes:
    """A publisher of failed entries asks `allow`, and reports the outcome: `confirm`, `refuse` or `drop`. All times are of one clock."""

    def __init__(self) -> None:
        self._routes: dict[str, _Route] = {}

    def __contains__(self, routing_key: str) -> bool:
        return routing_key in self._routes

    def allow(self, routing_key: str, wanted: int, now: float) -> int:
        """How many of `wanted` entries may be published now: all on a sound route, 0 while a refused one rests or is being tried."""
        route = self._routes.get(routing_key)
        if route is None:
            return wanted
        if route.in_flight or now < route.rests_until:
            return 0
        route.in_flight, route.failed = min(wanted, route.allowed), False
        return route.in_flight

    def refuse(self, routing_key: str, entries: int, now: float) -> None:
        """The broker refused the entries, or did not confirm them in time."""
        route = self._routes.get(routing_key)
        if route is None:
            log.warning("route.refused", extra={"routing_key": routing_key})
            route = self._routes[routing_key] = _Route(in_flight=entries)
            metrics.ROUTES_REFUSED.set(len(self._routes))
        # Entries that were sent together with the first refused one are no further evidence.
        if route.in_flight and not route.failed:
            route.failures += 1
            route.rests_until = now + PAUSES_SECONDS[min(route.failures, len(PAUSES_SECONDS)) - 1]
            route.allowed, route.failed = 1, True
        route.in_flight = max(0, route.in_flight - entries)

    def confirm(self, routing_key: str, entries: int) -> bool:
        """The broker confirmed the entries. Returns whether more may now try a route that was refused."""
        route = self._routes.get(routing_key)
        if route is None or not route.in_flight:
            return False
        route.in_flight = max(0, route.in_flight - entries)
        if route.in_flight or route.failed:
            return False
        route.failures = max(0, route.failures - 1)
        route.allowed *= 2
        if route.allowed > SOUND_ENTRIES:
            del self._routes[routing_key]
            log.info("route.recovered", extra={"routing_key": routing_key})
            metrics.ROUTES_REFUSED.set(len(self._routes))
        return True

    def drop(self, routing_key: str, entries: int) -> None:
        """The entries were not published, and what the broker would have done is unknown."""
        if route := self._routes.get(routing_key):
            route.in_flight = max(0, route.in_flight - entries)
