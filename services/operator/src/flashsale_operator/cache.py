"""What the operator remembers of each resource while it runs. Lost with it, and no harm done."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flashsale_operator import metrics
from flashsale_operator.conditions import Phase, without_stock
from flashsale_operator.resource import Resource

SHOWN_SECONDS = 15.0


@dataclass(slots=True)
class Remembered:
    resource: Resource
    """The newest we were shown: kopf may show an older one to a task that waited."""
    status: Mapping[str, Any]
    """As last written, or as last shown to us."""
    shown: Mapping[str, Any]
    """As the apiserver last showed it: what was written may not have arrived."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One reconciliation of a resource at a time."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the sweep when something must be done or written."""
    leaving: bool = False
    """Its deletion has begun: a reconciliation that waited meanwhile must not take back what was let go."""
    stock_written: float = 0.0
    """When its numbers were last written, by the event loop's clock in seconds."""

    def believe(self, now: float) -> None:
        """Take what we are shown for true, once what we wrote has had the time to be shown."""
        if now - self.stock_written > SHOWN_SECONDS:
            self.status = self.shown

    def worth_writing(self, status: Mapping[str, Any], now: float, status_seconds: float) -> bool:
        """Numbers alone are written now and then: live numbers belong in metrics."""
        if status == self.status:
            return False
        return without_stock(status) != without_stock(self.status) or now - self.stock_written >= status_seconds


class Memory:
    def __init__(self) -> None:
        self._known: dict[str, Remembered] = {}
        self._seen: dict[str, int] = {}
        self.missed: frozenset[str] = frozenset()
        """Resources whose changes the watch does not show us, by uid: while there are any, it counts as dead."""

    def of(self, resource: Resource, status: Mapping[str, Any]) -> Remembered:
        return self._known.setdefault(resource.uid, Remembered(resource, status, status))

    def show(self, uid: str, generation: int, status: Mapping[str, Any]) -> None:
        """What the watch shows of a resource."""
        self._seen[uid] = max(generation, self._seen.get(uid, 0))
        if uid in self._known:
            self._known[uid].shown = status

    def seen(self) -> dict[str, int]:
        """The newest generation the watch has shown of each resource, by uid."""
        return dict(self._seen)

    def all(self) -> list[Remembered]:
        return list(self._known.values())

    def forget(self, uid: str) -> None:
        self._known.pop(uid, None)
        self._seen.pop(uid, None)

    def reconciled(self) -> None:
        """All was held against Redis, or something was reconciled. It counts for little while changes do not reach us."""
        if not self.missed:
            metrics.LAST_RECONCILE.set_to_current_time()

    def count(self) -> None:
        counts = Counter(one.status.get("phase", Phase.PENDING.value) for one in self._known.values())
        for phase in Phase:
            metrics.OBJECTS.labels(phase.value).set(counts[phase.value])
