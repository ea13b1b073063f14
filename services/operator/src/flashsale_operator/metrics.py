"""Metrics for the people who run the operator. kopf exports none."""

from prometheus_client import Counter, Gauge, Histogram

RECONCILES = Counter(
    "flashsale_operator_reconciles_total", "Reconciliations, by cause and by the reason of the Ready condition", ["cause", "outcome"]
)
RECONCILE_SECONDS = Histogram(
    "flashsale_operator_reconcile_seconds", "Duration of one reconciliation, without requests to the apiserver",
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 3, 10),
)  # fmt: skip
RECONCILE_ERRORS = Counter("flashsale_operator_reconcile_errors_total", "Reconciliations that failed, mostly because Redis was unavailable")
OBJECTS = Gauge("flashsale_operator_objects", "FlashSales, by phase", ["phase"])
OBJECTS_OMITTED = Gauge("flashsale_operator_objects_omitted", "FlashSales without series of their own, because 500 others have them")
OBJECT_CONDITION = Gauge(
    "flashsale_operator_object_condition",
    "1 while a FlashSale's condition (Ready, Stalled, SoldOut) is True, otherwise 0",
    ["resource_namespace", "flashsale", "condition", "reason"],
)
OBJECT_START = Gauge(
    "flashsale_operator_object_start_timestamp_seconds",
    "Unix time at which a FlashSale with spec.startsAt starts",
    ["resource_namespace", "flashsale"],
)
NEXT_START_SECONDS = Gauge("flashsale_operator_next_start_seconds", "Time until the next scheduled FlashSale starts; +Inf without one")
NEXT_START_SECONDS.set(float("inf"))
LAST_RECONCILE = Gauge("flashsale_operator_last_reconcile_timestamp_seconds", "Unix time of the last reconciliation of a FlashSale")
LOST_NAMESPACES = Gauge("flashsale_operator_lost_namespaces", "Namespaces whose FlashSales the apiserver does not let the operator watch")
DELETED_WITHOUT_REDIS = Counter(
    "flashsale_operator_deletions_without_redis_total",
    "FlashSales whose deletion ended although Redis could not be used: their sales may be left in it",
)
EVENTS_DROPPED = Counter(
    "flashsale_operator_events_dropped_total", "Kubernetes Events that were not posted, because too many waited or the apiserver refused"
)
