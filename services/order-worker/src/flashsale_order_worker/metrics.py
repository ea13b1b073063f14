"""What an operator of an order-worker must know, besides what flashsale_consumer measures of consuming."""

from prometheus_client import Counter, Gauge, Histogram

ORDERS_WRITTEN = Counter("flashsale_ledger_orders_total", "Order rows written or found written, by state", ["state"])
MESSAGES = Counter("flashsale_ledger_messages_total", "Messages whose work is committed, by type", ["type"])
DATABASE_UP = Gauge("flashsale_database_up", "1 when the last statement reached Postgres, 0 when it could not")
COMMIT_SECONDS = Histogram(
    "flashsale_ledger_commit_seconds", "One transaction, from its first statement to its commit",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)  # fmt: skip
KNOWN_BATCHES = Counter(
    "flashsale_ledger_known_batches_total", "Batches written a second time because the ledger knew one of their new orders"
)
REFUNDS_DUE = Gauge("flashsale_refunds_due", "Refunds that are due and not settled, of all sales")
REFUNDS_OLDEST_SECONDS = Gauge("flashsale_refunds_oldest_seconds", "Age of the oldest refund that is due; 0 when none is")
LEDGER_LAG_SECONDS = Gauge("flashsale_ledger_lag_seconds", "Age of the newest event of the last committed batch when it was committed")
