"""Metrics of the console."""

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("flashsale_console_requests_total", "Requests by operation and status code", ["operation", "code"])
REQUEST_SECONDS = Histogram(
    "flashsale_console_request_seconds", "Duration of one request, from its head to its answer", ["operation"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10),
)  # fmt: skip
LOGINS = Counter("flashsale_console_logins_total", "Attempts to log in by result: accepted, refused or limited", ["result"])
CHANGES = Counter("flashsale_console_changes_total", "Changes that were asked for, by action and result", ["action", "result"])
DATABASE_UP = Gauge("flashsale_console_database_up", "1 when the last statement reached Postgres, 0 when it did not")
