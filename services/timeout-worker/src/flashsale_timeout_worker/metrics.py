"""What an operator of a timeout-worker must know, besides what flashsale_consumer measures of consuming."""

from prometheus_client import Counter, Gauge, Histogram

EXPIRED_ORDERS = Counter("flashsale_expired_orders_total", "Orders expired, by the clock that was first", ["source"])
EXPIRED_UNITS = Counter("flashsale_expired_units_total", "Units given back, by the clock that was first", ["source"])
LATENESS_SECONDS = Histogram(
    "flashsale_expiry_lateness_seconds", "From an order's deadline to its expiry",
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300),
)  # fmt: skip
SWEEP_SECONDS = Histogram("flashsale_sweep_seconds", "One sweep of all shards", buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30))
SWEEP_FAILURES = Counter("flashsale_sweep_failures_total", "Sweeps that Redis cut short")
SWEEP_REFUSED = Counter(
    "flashsale_sweep_refused_orders_total", "Overdue orders of sales whose data is broken, counted again by every sweep"
)
EARLY_ORDERS = Counter(
    "flashsale_early_orders_total", "Holds whose wait ended before their deadline, as when Redis' clock was set back; they wait again"
)
REMOVED_SALES = Counter("flashsale_removed_sales_total", "Finished sales removed from Redis after their retention time")
WAIT_UP = Gauge("flashsale_wait_up", "1 when the wait queue of this window gave back its last probe, 0 when not", ["window"])
OVERDUE_ORDERS = Gauge("flashsale_overdue_orders", "Deadlines found overdue by the last sweep")
