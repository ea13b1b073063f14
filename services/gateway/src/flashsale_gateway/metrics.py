"""The gateway's metrics. Label values are bounded: codes, script names, and at most SALES_MAX sales."""

from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Sequence
from math import nan

from prometheus_client import Counter, Gauge, Histogram

_LATENCY_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SALES_MAX = 50


class BatchHistogram(Histogram):
    """A histogram without labels. prometheus_client counts one observation at a time, with a lock for each."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        self._sum.inc(sum(amounts))
        for bucket, count in Tally([bisect_left(self._upper_bounds, amount) for amount in amounts]).items():
            self._buckets[bucket].inc(count)


ORDERS = Counter("flashsale_orders_total", "Orders answered, by outcome", ["outcome"])
ORDER_SECONDS = BatchHistogram(
    "flashsale_order_seconds", "Time from the last byte of an order's body to its answer", buckets=_LATENCY_SECONDS
)
PAYMENTS = Counter(
    "flashsale_payments_total",
    "Payment webhooks answered, by result; other_type counts signed events of types that have no effect, "
    "wrong_amount payments that are refunded because their amount or currency is not the sale's price, "
    "unconfirmed those answered 503 because the broker did not confirm them",
    ["result"],
)
CANCELS = Counter("flashsale_cancels_total", "Cancellations answered, by result", ["result"])
RETURNS = Counter(
    "flashsale_returns_total",
    "Returns of paid orders answered, by result; unconfirmed counts those answered 503 because the broker did not confirm them",
    ["result"],
)
BATCH_ORDERS = Histogram("flashsale_batch_orders", "Orders in one call of the reserve script", buckets=_SIZES)
SCRIPT_SECONDS = Histogram(
    "flashsale_script_seconds", "Duration of one script call, seen from the gateway", ["script"], buckets=_LATENCY_SECONDS
)
SCRIPT_REPEATS = Counter("flashsale_script_repeats_total", "Script calls repeated because their answer was lost", ["script"])
WAITING = Gauge("flashsale_waiting_requests", "Requests that are waiting for Redis now")
WAITING_SECONDS = Gauge(
    "flashsale_waiting_seconds",
    "How long requests have waited for Redis without progress; longer than three times its timeout means they are stuck",
)
FENCED_SHARDS = Gauge(
    "flashsale_fenced_shards",
    "Shards of Redis that refuse every change, because recovery has not opened them; NaN while no master answers the gateway",
)
CONNECTIONS = Gauge("flashsale_connections", "Client connections now")
READS_REFUSED = Counter(
    "flashsale_reads_refused_total", "Requests, other than orders and payments, refused with 503 at the limits of reads"
)
CONNECTIONS_REFUSED = Counter(
    "flashsale_connections_refused_total",
    "Connections refused at FLASHSALE_CONNECTIONS_MAX: answered with 503, or closed without an answer",
)
CONNECTIONS_ENDED = Counter(
    "flashsale_connections_ended_total",
    "Connections that the gateway closed because of what their client sent or did not read, by reason",
    ["reason"],
)
OUTBOX_LAG_SECONDS = Gauge("flashsale_outbox_lag_seconds", "Age of the oldest outbox entry that the broker has not confirmed")
OUTBOX_ENTRIES = Gauge(
    "flashsale_outbox_entries", "Entries in the outboxes of all shards, including confirmed ones that are not yet deleted"
)
PUBLISHED = Counter("flashsale_published_total", "Outbox entries confirmed by the broker")
PUBLISH_FAILURES = Counter(
    "flashsale_publish_failures_total",
    "Messages that the broker refused, did not confirm in time or lost with the connection, by reason",
    ["reason"],
)
PUBLISH_SECONDS = Histogram("flashsale_publish_seconds", "Time from publishing a message to its confirm", buckets=_LATENCY_SECONDS)
CLAIMED = Counter("flashsale_outbox_claimed_total", "Entries of the shared outbox taken over from a gateway that stopped")
RECLAIMED = Counter(
    "flashsale_outbox_rescued_total", "Entries of a direct outbox that their gateway did not publish, moved to the shared outbox"
)
ROUTES_REFUSED = Gauge("flashsale_refused_routes", "Routing keys whose messages the broker refuses or does not confirm")
BROKER_UP = Gauge("flashsale_broker_up", "1 while the relay has a channel to the broker, else 0")
UNROUTED_KEPT = Gauge(
    "flashsale_unrouted_kept",
    "1 if the broker keeps messages that it cannot route, 0 if its policy `events` is missing, NaN before it was asked",
)
REDIS_UP = Gauge("flashsale_redis_up", "1 while Redis, every master of it, answers the gateway's attestations, else 0")
REDIS_DURABLE = Gauge(
    "flashsale_redis_durable",
    "1 if Redis keeps what it acknowledged (append-only file, no eviction), 0 if it may lose data, NaN before it was asked",
)
REDIS_DURABLE_REQUIRED = Gauge(
    "flashsale_redis_durable_required",
    "1 if this gateway accepts no orders while Redis may lose data, 0 if FLASHSALE_REQUIRE_DURABLE_REDIS is off",
)
# A gateway that starts while the server is away knows nothing, and a 0 would be an alert with the wrong reason.
UNROUTED_KEPT.set(nan)
REDIS_DURABLE.set(nan)
FENCED_SHARDS.set(nan)
SALE_ORDERS = Counter(
    "flashsale_sale_orders_total",
    f"Orders decided, by sale and outcome; at most {SALES_MAX} sales have their own label, the others are counted as _other",
    ["sale", "outcome"],
)
SALE_IMBALANCE = Gauge(
    "flashsale_sale_imbalance_units",
    f"Stock of a sale minus its available, reserved and sold units: anything but 0 is a fault; the first {SALES_MAX} sales by name",
    ["sale"],
)
SALE_STOCK = Gauge("flashsale_sale_stock_units", f"Units of a sale, by state; the first {SALES_MAX} sales by name", ["sale", "state"])
IDENTITY_MODE = Gauge(
    "flashsale_identity_mode", "1 for each way in which this gateway lets buyers prove who they are; body means not at all", ["mode"]
)
IDENTITY_REFUSED = Counter(
    "flashsale_identity_refused_total", "Requests whose proof of identity was missing or wrong, by reason", ["reason"]
)
SESSIONS = Counter("flashsale_sessions_total", "Requests for a buyer token (POST /session) answered, by result", ["result"])
JWKS_AGE_SECONDS = Gauge(
    "flashsale_jwks_age_seconds", "How long ago the identity provider's keys were read; +Inf before the first time, 0 without such keys"
)
JWKS_READS = Counter("flashsale_jwks_reads_total", "Attempts to read the identity provider's keys, by result", ["result"])
