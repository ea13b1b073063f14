"""A series for each FlashSale and condition, so that an alert names the sale. At most OBJECTS_MAX FlashSales have their own series."""

from collections.abc import Iterable

from flashsale_operator import metrics
from flashsale_operator.cache import CachedResource

OBJECTS_MAX = 500
CONDITIONS = ("Ready", "Stalled", "SoldOut")
Labels = tuple[str, ...]


class ObjectMetrics:
    def __init__(self) -> None:
        self._conditions: set[Labels] = set()
        self._starts: set[Labels] = set()

    def update(self, resources: Iterable[CachedResource], now_seconds: float) -> None:
        """`now_seconds` is Unix time. Those that are not Ready come first, then those that start next."""
        listed = sorted(resources, key=lambda cached: (_is_ready(cached), _starts_in(cached, now_seconds), cached.resource.owner))
        shown = listed[:OBJECTS_MAX]
        metrics.OBJECTS_OMITTED.set(len(listed) - len(shown))
        metrics.NEXT_START_SECONDS.set(min((_starts_in(cached, now_seconds) for cached in listed), default=float("inf")))
        self._set_conditions(shown)
        self._set_starts(shown)

    def _set_conditions(self, shown: list[CachedResource]) -> None:
        present: set[Labels] = set()
        for cached in shown:
            for condition in cached.status.get("conditions", ()):
                if condition["type"] in CONDITIONS:
                    labels: Labels = (cached.resource.namespace, cached.resource.name, condition["type"], condition["reason"])
                    metrics.OBJECT_CONDITION.labels(*labels).set(condition["status"] == "True")
                    present.add(labels)
        for gone in self._conditions - present:
            metrics.OBJECT_CONDITION.remove(*gone)
        self._conditions = present

    def _set_starts(self, shown: list[CachedResource]) -> None:
        present: set[Labels] = set()
        for cached in shown:
            if starts_ms := int(cached.resource.definition["starts_ms"]):
                labels: Labels = (cached.resource.namespace, cached.resource.name)
                metrics.OBJECT_START.labels(*labels).set(starts_ms / 1000)
                present.add(labels)
        for gone in self._starts - present:
            metrics.OBJECT_START.remove(*gone)
        self._starts = present


def _is_ready(cached: CachedResource) -> bool:
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in cached.status.get("conditions", ()))


def _starts_in(cached: CachedResource, now_seconds: float) -> float:
    """Seconds until the sale starts; infinite for one that has started, or that is paused or stalled."""
    seconds = int(cached.resource.definition["starts_ms"]) / 1000 - now_seconds
    return seconds if seconds > 0 and cached.status.get("phase") == "Scheduled" else float("inf")
