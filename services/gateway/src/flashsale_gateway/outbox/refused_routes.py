"""Routing keys that the broker refuses, and how many entries may try each of them, and when.

A message goes to every queue of its route, and one queue that is full refuses it for all: publishing it again and again would fill the
others with copies. So a refused route rests. Then one entry tries it, two if that is confirmed, four, and so on: a queue that is full and
drains slowly gets what it takes, and the others get about one copy for each entry of it.
"""

import logging
from dataclasses import dataclass

from flashsale_gateway import metrics

PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""How long a route rests, by how often it was refused more than confirmed."""
SOUND_ENTRIES = 256
"""A route that took so many at once is sound."""
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Refusal:
    failures: int = 0
    rests_until: float = 0.0
    allowed: int = 1
    under_way: int = 0
    failed: bool = False
    """Whether the try that is under way was refused already, in part."""


class Refusals:
    """Whoever publishes asks `take`, and reports what became of the entries: `confirm`, `refuse` or `drop`. Times are of one clock."""

    def __init__(self) -> None:
        self._refusals: dict[str, _Refusal] = {}

    def __contains__(self, routing_key: str) -> bool:
        return routing_key in self._refusals

    def take(self, routing_key: str, wanted: int, now: float) -> int:
        """How many of `wanted` entries may be published now: all on a sound route, none while a try of a refused one is under way."""
        refusal = self._refusals.get(routing_key)
        if refusal is None:
            return wanted
        if refusal.under_way or now < refusal.rests_until:
            return 0
        refusal.under_way, refusal.failed = min(wanted, refusal.allowed), False
        return refusal.under_way

    def refuse(self, routing_key: str, entries: int, now: float) -> None:
        """The broker refused them, or did not confirm them in time."""
        refusal = self._refusals.get(routing_key)
        if refusal is None:
            log.warning("route.refused", extra={"routing_key": routing_key})
            refusal = self._refusals[routing_key] = _Refusal(under_way=entries)
            metrics.ROUTES_REFUSED.set(len(self._refusals))
        # What was sent together with the first is refused with it, and says nothing new.
        if refusal.under_way and not refusal.failed:
            refusal.failures += 1
            refusal.rests_until = now + PAUSES_SECONDS[min(refusal.failures, len(PAUSES_SECONDS)) - 1]
            refusal.allowed, refusal.failed = 1, True
        refusal.under_way = max(0, refusal.under_way - entries)

    def confirm(self, routing_key: str, entries: int) -> bool:
        """The broker took them. Returns whether more may try a route that was refused."""
        refusal = self._refusals.get(routing_key)
        if refusal is None or not refusal.under_way:
            return False
        refusal.under_way = max(0, refusal.under_way - entries)
        if refusal.under_way or refusal.failed:
            return False
        refusal.failures = max(0, refusal.failures - 1)
        refusal.allowed *= 2
        if refusal.allowed > SOUND_ENTRIES:
            del self._refusals[routing_key]
            log.info("route.recovered", extra={"routing_key": routing_key})
            metrics.ROUTES_REFUSED.set(len(self._refusals))
        return True

    def drop(self, routing_key: str, entries: int) -> None:
        """They were not published, and nobody knows what the broker would have done."""
        if refusal := self._refusals.get(routing_key):
            refusal.under_way = max(0, refusal.under_way - entries)
