"""What an operator of a gateway must know. Label values are bounded: codes, script names, and at most SALES_MAX sales."""

from prometheus_client import Counter, Gauge, Histogram

_LATENCY_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SALES_MAX = 50

ORDERS = Counter("flashsale_orders_total", "Orders answered, by outcome", ["outcome"])
ORDER_SECONDS = Histogram("flashsale_order_seconds", "From the order's last body byte to its answer", buckets=_LATENCY_SECONDS)
PAYMENTS = Counter(
    "flashsale_payments_total", "Payment webhooks applied, by result; other_type counts signed events that are not acted on", ["result"]
)
CANCELS = Counter("flashsale_cancels_total", "Cancellations answered, by result", ["result"])
BATCH_ORDERS = Histogram("flashsale_batch_orders", "Orders in one reserve call", buckets=_SIZES)
SCRIPT_SECONDS = Histogram("flashsale_script_seconds", "One script call, as the gateway sees it", ["script"], buckets=_LATENCY_SECONDS)
SCRIPT_REPEATS = Counter("flashsale_script_repeats_total", "Script calls repeated because the answer was lost", ["script"])
WAITING = Gauge("flashsale_waiting_requests", "Requests waiting for Redis now")
WAITING_SECONDS = Gauge(
    "flashsale_waiting_seconds", "How long requests have waited for Redis without progress; past three times its timeout they are stuck"
)
CONNECTIONS = Gauge("flashsale_connections", "Connections of clients now")
READS_REFUSED = Counter("flashsale_reads_refused_total", "Requests other than orders and payments past the bounds of reads: 503")
CONNECTIONS_REFUSED = Counter(
    "flashsale_connections_refused_total", "Connections past FLASHSALE_CONNECTIONS_MAX: 503, or closed without a word"
)
CONNECTIONS_ENDED = Counter(
    "flashsale_connections_ended_total",
    "Connections the gateway ended because of what their client sent, or did not read, by reason",
    ["reason"],
)
OUTBOX_LAG_SECONDS = Gauge("flashsale_outbox_lag_seconds", "Age of the oldest entry not yet confirmed by the broker")
OUTBOX_ENTRIES = Gauge("flashsale_outbox_entries", "Entries in the outboxes of all shards, confirmed ones not yet forgotten among them")
PUBLISHED = Counter("flashsale_published_total", "Outbox entries confirmed by the broker")
PUBLISH_FAILURES = Counter("flashsale_publish_failures_total", "Publishes refused, timed out or cut off, by reason", ["reason"])
PUBLISH_SECONDS = Histogram("flashsale_publish_seconds", "From publish to confirm", buckets=_LATENCY_SECONDS)
CLAIMED = Counter("flashsale_outbox_claimed_total", "Outbox entries taken over from a gateway that stopped")
RECLAIMED = Counter(
    "flashsale_outbox_rescued_total", "Outbox entries that their gateway did not publish, moved to where every gateway looks"
)
ROUTES_REFUSED = Gauge("flashsale_refused_routes", "Routing keys whose messages the broker refuses or does not confirm")
BROKER_UP = Gauge("flashsale_broker_up", "1 while the relay has a channel to the broker")
UNROUTED_KEPT = Gauge("flashsale_unrouted_kept", "1 when the broker keeps what it cannot route, 0 when its policy `events` is missing")
REDIS_DURABLE = Gauge(
    "flashsale_redis_durable", "1 when Redis keeps what it acknowledged (append-only file written, no eviction), 0 when it may forget"
)
SALE_ORDERS = Counter(
    "flashsale_sale_orders_total",
    f"Orders decided, by sale and outcome; up to {SALES_MAX} sales by name, the others as _other",
    ["sale", "outcome"],
)
SALE_IMBALANCE = Gauge(
    "flashsale_sale_imbalance_units",
    f"Total less available, reserved and sold of a sale: not 0 is a fault; the first {SALES_MAX} sales by name",
    ["sale"],
)
SALE_STOCK = Gauge("flashsale_sale_stock_units", f"Units of a sale, by state; the first {SALES_MAX} sales by name", ["sale", "state"])
