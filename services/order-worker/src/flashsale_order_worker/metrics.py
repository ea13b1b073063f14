"""Metrics of an order-worker. flashsale_consumer has those of consuming."""

from prometheus_client import Counter, Gauge, Histogram

ORDERS_WRITTEN = Counter("flashsale_ledger_orders_total", "Orders written to the ledger or already there, by state", ["state"])
MESSAGES = Counter("flashsale_ledger_messages_total", "Messages written to the ledger and committed, by type", ["type"])
DATABASE_UP = Gauge("flashsale_database_up", "1 when the last statement reached Postgres, 0 when it did not")
COMMIT_SECONDS = Histogram(
    "flashsale_ledger_commit_seconds", "Duration of one transaction, from its first statement to its commit",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)  # fmt: skip
KNOWN_BATCHES = Counter(
    "flashsale_ledger_known_batches_total", "Batches written a second time because the ledger already had one of their new orders"
)
LATE_ENTRIES = Counter(
    "flashsale_ledger_late_entries_total", "Entries that arrived after recovery had closed their incarnation, and changed nothing"
)
REFUNDS_DUE = Gauge("flashsale_refunds_due", "Refunds that are due and not settled, over all sales")
REFUNDS_FAILED = Gauge("flashsale_refunds_failed", "Refunds that could not be sent and are not settled, over all sales")
REFUNDS_OLDEST_SECONDS = Gauge("flashsale_refunds_oldest_seconds", "Age of the oldest refund that is due; 0 when no refund is due")
REFUNDS_REPORTED = Gauge(
    "flashsale_refunds_reported", "Paid orders that the provider reported as paid back, and that nobody has returned or left as paid"
)
REFUNDS_REPORTED_OLDEST_SECONDS = Gauge(
    "flashsale_refunds_reported_oldest_seconds", "Age of the oldest report that flashsale_refunds_reported counts; 0 without one"
)
LEDGER_LAG_SECONDS = Gauge("flashsale_ledger_lag_seconds", "Age of the newest event in the last committed batch, at its commit")
