"""What the operator keeps in memory about each resource. A restart loses it without harm."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from flashsale_operator import metrics
from flashsale_operator.conditions import Phase, without_stock
from flashsale_operator.resource import Resource

NEW_FIELDS = ("controllerName", "page", "paymentWindowSeconds")
"""Fields of the status that an older CRD prunes. They would be written again and again if they were missed."""
OBSERVED_AFTER_SECONDS = 15.0
"""A status that was written is expected back from the watch within this time."""


@dataclass(slots=True)
class CachedResource:
    resource: Resource
    """The newest version observed."""
    status: Mapping[str, Any]
    """As last written, or as last observed."""
    observed_status: Mapping[str, Any]
    """As the watch last reported it; a status that was written may not have arrived."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Allows one reconciliation of the resource at a time."""
    woken_at: float = 0.0
    """When the sweep last queued it, in seconds of the event loop's clock."""
    deleting: bool = False
    """The deletion has begun: a reconciliation that waited for the lock must not take the sale over again."""
    blocked_since: float | None = None
    """Since when Redis has kept the deletion from going on, in seconds of the event loop's clock."""
    stock_written_at: float = 0.0
    """When the stock numbers were last written, in seconds of the event loop's clock."""

    def adopt_observed(self, now: float) -> None:
        """Replace `status` by the observed one, unless the last write is so recent that the watch may not have reported it yet."""
        if now - self.stock_written_at > OBSERVED_AFTER_SECONDS:
            pruned = {name: self.status[name] for name in NEW_FIELDS if name in self.status and name not in self.observed_status}
            self.status = {**self.observed_status, **pruned} if pruned else self.observed_status

    def needs_write(self, status: Mapping[str, Any], now: float, status_seconds: float) -> bool:
        """A status in which only the stock numbers changed is written every `status_seconds`: live numbers belong in metrics."""
        if status == self.status:
            return False
        return without_stock(status) != without_stock(self.status) or now - self.stock_written_at >= status_seconds


class ResourceCache:
    def __init__(self) -> None:
        self._resources: dict[str, CachedResource] = {}
        self._observed: dict[str, int] = {}
        self.events = 0
        """How many events the watch has reported."""
        self.unseen_uids: frozenset[str] = frozenset()
        """Resources whose changes the watch does not report. While there are any, the watch counts as dead."""

    def get_or_add(self, resource: Resource, status: Mapping[str, Any]) -> CachedResource:
        """The cached resource, in its newest version."""
        cached = self._resources.setdefault(resource.uid, CachedResource(resource, status, status))
        if resource.generation >= cached.resource.generation:
            # The status passed here may be older than the cached one: a sale that was loaded once must keep its epoch.
            known = cached.resource
            cached.resource = replace(resource, epoch=resource.epoch or known.epoch, controller=resource.controller or known.controller)
        return cached

    def observe(self, uid: str, generation: int, status: Mapping[str, Any]) -> None:
        """Record what the watch reported of a resource."""
        self.events += 1
        self._observed[uid] = max(generation, self._observed.get(uid, 0))
        cached = self._resources.get(uid)
        if cached is not None:
            # Most of what is observed is what was written. Ten thousand second copies of it would be a fifth of the memory.
            cached.observed_status = cached.status if status == cached.status else status

    def get(self, uid: str) -> CachedResource | None:
        return self._resources.get(uid)

    def observed_generations(self) -> dict[str, int]:
        """The newest generation of each resource that the watch has reported, by uid."""
        return dict(self._observed)

    def resources(self) -> list[CachedResource]:
        return list(self._resources.values())

    def remove(self, uid: str) -> None:
        self._resources.pop(uid, None)
        self._observed.pop(uid, None)

    def record_reconciled(self) -> None:
        """Set the time of the last reconciliation, unless the watch is dead: then changes to resources do not arrive."""
        if not self.unseen_uids:
            metrics.LAST_RECONCILE.set_to_current_time()

    def count_phases(self) -> None:
        """Set the metric of resources by phase."""
        counts = Counter(cached.status.get("phase", Phase.PENDING.value) for cached in self._resources.values())
        for phase in Phase:
            metrics.OBJECTS.labels(phase.value).set(counts[phase.value])
