"""Metrics of the ledger-api."""

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("flashsale_ledger_api_requests_total", "Requests by operation and status code", ["operation", "code"])
REQUEST_SECONDS = Histogram(
    "flashsale_ledger_api_request_seconds", "Duration of one request, from its head to its answer", ["operation"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)  # fmt: skip
DATABASE_UP = Gauge("flashsale_ledger_api_database_up", "1 when the last statement reached Postgres, 0 when it did not")
