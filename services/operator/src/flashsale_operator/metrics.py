"""What an operator of the operator must know. kopf exports nothing itself."""

from prometheus_client import Counter, Gauge, Histogram

RECONCILES = Counter(
    "flashsale_operator_reconciles_total", "Reconciliations, by what woke them and what they came to", ["cause", "outcome"]
)
RECONCILE_SECONDS = Histogram(
    "flashsale_operator_reconcile_seconds", "One reconciliation, apiserver not included",
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 3, 10),
)  # fmt: skip
RECONCILE_ERRORS = Counter("flashsale_operator_reconcile_errors_total", "Reconciliations that Redis cut short")
OBJECTS = Gauge("flashsale_operator_objects", "FlashSales, by phase", ["phase"])
LAST_RECONCILE = Gauge("flashsale_operator_last_reconcile_timestamp_seconds", "When a FlashSale was last reconciled, Unix time")
