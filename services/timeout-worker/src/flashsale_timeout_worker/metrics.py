"""Metrics of a timeout-worker. flashsale_consumer has those of consuming."""

from prometheus_client import Counter, Gauge, Histogram

EXPIRED_ORDERS = Counter("flashsale_expired_orders_total", "Expired orders, by the clock that expired them: queue or sweep", ["source"])
EXPIRED_UNITS = Counter(
    "flashsale_expired_units_total",
    "Units of expired orders that were released, by the clock that expired them: queue or sweep",
    ["source"],
)
LATENESS_SECONDS = Histogram(
    "flashsale_expiry_lateness_seconds", "Time from an order's deadline to its expiry",
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300),
)  # fmt: skip
SWEEP_SECONDS = Histogram(
    "flashsale_sweep_seconds", "Duration of one sweep of all shards", buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30)
)
SWEEP_FAILURES = Counter("flashsale_sweep_failures_total", "Sweeps that ended early because Redis failed")
SWEEP_REFUSED = Counter(
    "flashsale_sweep_refused_orders_total", "Overdue orders of sales whose data is broken; every sweep counts them again"
)
EARLY_ORDERS = Counter(
    "flashsale_early_orders_total",
    "Holds whose message returned before their deadline, for example because Redis' clock was set back; they are queued again",
)
REMOVED_SALES = Counter("flashsale_removed_sales_total", "Finished sales removed from Redis after the retention time")
WAIT_UP = Gauge(
    "flashsale_wait_up", "1 when the last probe returned from the wait queue of this payment window, 0 when it did not", ["window"]
)
OVERDUE_ORDERS = Gauge("flashsale_overdue_orders", "Overdue orders that the last sweep found")
