"""Metrics of a notifier. flashsale_consumer has those of consuming."""

from prometheus_client import Counter, Gauge, Histogram

EVENTS = Counter("flashsale_shop_events_total", "Events for shops that were written to the ledger or were already there, by type", ["type"])
ATTEMPTS = Counter(
    "flashsale_webhook_attempts_total",
    "Attempts to deliver an event: sent, due (it is tried again) or failed (it is given up)",
    ["endpoint", "result"],
)
ATTEMPT_SECONDS = Histogram(
    "flashsale_webhook_attempt_seconds", "Duration of one attempt, from its request to its answer", ["endpoint"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15),
)  # fmt: skip
DELIVERY_SECONDS = Histogram(
    "flashsale_webhook_delivery_seconds", "Time from the moment an event was written until its endpoint had it", ["endpoint"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400),
)  # fmt: skip
DUE = Gauge("flashsale_webhook_deliveries_due", "Deliveries that are due now or later", ["endpoint"])
OLDEST_SECONDS = Gauge(
    "flashsale_webhook_oldest_seconds", "Age of the oldest delivery that is not done; 0 when there is none", ["endpoint"]
)
ENABLED = Gauge("flashsale_webhook_endpoint_enabled", "1 while events are sent to the endpoint, 0 while it is disabled", ["endpoint"])
DATABASE_UP = Gauge("flashsale_notifier_database_up", "1 when the last statement reached Postgres, 0 when it did not")
