"""A series for each FlashSale and condition, so that an alert names the sale. At most OBJECTS_MAX FlashSales have their own series."""

from collections.abc import Iterable, Mapping

from prometheus_client import Gauge

from flashsale_operator import metrics
from flashsale_operator.cache import CachedResource

OBJECTS_MAX = 500
CONDITIONS = ("Ready", "Stalled", "SoldOut")
Labels = tuple[str, ...]


class Series:
    """The series of a gauge, whose labels come and go."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._present: Iterable[Labels] = ()

    def replace(self, values: Mapping[Labels, float]) -> None:
        for labels, value in values.items():
            self._gauge.labels(*labels).set(value)
        for gone in set(self._present) - values.keys():
            self._gauge.remove(*gone)
        self._present = values.keys()


class ObjectMetrics:
    def __init__(self) -> None:
        self._conditions = Series(metrics.OBJECT_CONDITION)
        self._starts = Series(metrics.OBJECT_START)

    def update(self, resources: Iterable[CachedResource], now_seconds: float) -> None:
        """`now_seconds` is Unix time. Those that are not Ready come first, then those that start next."""
        listed = sorted(resources, key=lambda cached: (_is_ready(cached), _starts_in(cached, now_seconds), cached.resource.owner))
        shown = listed[:OBJECTS_MAX]
        metrics.OBJECTS_OMITTED.set(len(listed) - len(shown))
        metrics.NEXT_START_SECONDS.set(min((_starts_in(cached, now_seconds) for cached in listed), default=float("inf")))
        self._conditions.replace(
            {
                (cached.resource.namespace, cached.resource.name, condition["type"], condition["reason"]): condition["status"] == "True"
                for cached in shown
                for condition in cached.status.get("conditions", ())
                if condition["type"] in CONDITIONS
            }
        )
        self._starts.replace(
            {
                (cached.resource.namespace, cached.resource.name): starts_ms / 1000
                for cached in shown
                if (starts_ms := int(cached.resource.definition["starts_ms"]))
            }
        )


def _is_ready(cached: CachedResource) -> bool:
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in cached.status.get("conditions", ()))


def _starts_in(cached: CachedResource, now_seconds: float) -> float:
    """Seconds until the sale starts; infinite for one that has started, or that is paused or stalled."""
    seconds = int(cached.resource.definition["starts_ms"]) / 1000 - now_seconds
    return seconds if seconds > 0 and cached.status.get("phase") == "Scheduled" else float("inf")
