"""The three dashboards: their rows, panels and queries. generate.py writes them as Grafana's JSON."""

from dataclasses import dataclass, field
from math import inf
from typing import Any

RELEASE = 'namespace=~"$namespace", app_kubernetes_io_instance=~"$release"'
"""The label is that of the pods, which the chart's PodMonitors and Prometheus' own example for Kubernetes copy to each target."""
NS = f'{RELEASE}, job=~"$job", instance=~"$instance"'
SERVICES = (
    '{__name__=~"flashsale_broker_up|flashsale_consumer_up|flashsale_keeper_active|flashsale_ledger_api_database_up|'
    f'flashsale_storefront_sales|flashsale_console_database_up", {RELEASE}}}'
)
"""Series that only our services have: gateways, workers, keepers, ledger-api, storefronts, consoles."""
SALE = f'{NS}, sale=~"$sale"'
RATE = "$__rate_interval"
ALL_UP = {-inf: "red", 1: "green"}
NONE_WANTED = {-inf: "green", 1: "red"}
YES_NO = {0: "no", 1: "yes"}


@dataclass(frozen=True)
class Panel:
    title: str
    kind: str
    unit: str
    queries: dict[str, str]
    """Legend -> PromQL."""
    about: str = ""
    width: int = 8
    height: int = 7
    options: dict[str, Any] = field(default_factory=dict)
    colors: dict[float, str] = field(default_factory=dict)
    """Value -> the color of a big number from this value on."""
    words: dict[int, str] = field(default_factory=dict)
    """Value -> the text that is shown instead of a big number."""


@dataclass(frozen=True)
class Dashboard:
    name: str
    title: str
    about: str
    services: str
    """A selector that every service of the dashboard has a series for, and no other process: it lists the jobs."""
    variables: dict[str, str]
    """Name -> the PromQL that lists its values. Namespace, release, job and instance are not among them."""
    namespace_of: str
    rows: dict[str, list[Panel]]


def stock(state: str) -> str:
    return f'sum(max by (sale) (flashsale_sale_stock_units{{{SALE}, state="{state}"}}))'


def pace(state: str) -> str:
    """Units per second that enter a state. A change of the stock does not count."""
    return f'sum(max by (sale) (deriv(flashsale_sale_stock_units{{{SALE}, state="{state}"}}[2m])))'


def rate(metric: str, selector: str = NS, by: str = "") -> str:
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{{{selector}}}[{RATE}]))"


def rate_of_occurred(metric: str, by: str) -> str:
    """The rate without the label values that never occurred: a legend of five lines is easier to read than one with ten zeros more."""
    return f"{rate(metric, by=by)} and sum by ({by}) ({metric}{{{NS}}}) > 0"


def or_none(query: str, by: str) -> str:
    """The query, or a 0 named none while it has no series."""
    return f'{query} or on() label_replace(vector(0), "{by}", "none", "", "")'


def parts_or_zero(metric: str, selectors: dict[str, str]) -> dict[str, str]:
    """The rate of each selection, by its legend; 0 where nothing has the metric."""
    return {legend: f"{rate(metric, f'{NS}, {selector}')} or vector(0)" for legend, selector in selectors.items()}


def quantile(which: float, metric: str, by: str = "") -> str:
    return f"histogram_quantile({which}, sum by ({', '.join(filter(None, (by, 'le')))}) (rate({metric}_bucket{{{NS}}}[{RATE}])))"


def percentiles(metric: str) -> dict[str, str]:
    return {"p50": quantile(0.5, metric), "p99": quantile(0.99, metric), "p99.9": quantile(0.999, metric)}


def mean(metric: str, by: str = "") -> str:
    return f"{rate(f'{metric}_sum', by=by)} / {rate(f'{metric}_count', by=by)}"


def largest(metric: str, selector: str = NS, by: str = "") -> str:
    return f"max{f' by ({by})' if by else ''} ({metric}{{{selector}}})"


def of_jobs(metric: str) -> str:
    return f"{metric}{{{NS}}}"


SALE_BOARD = Dashboard(
    "flashsale-sale",
    "Flashsale / Sale",
    "For the merchant: what is left, what is sold, and what buyers ask for.",
    SERVICES,
    {"sale": f"label_values(flashsale_sale_stock_units{{{NS}}}, sale)"},
    "flashsale_sale_stock_units",
    {
        "Now": [
            Panel("Available", "stat", "locale", {"available": stock("available")}, "Units that can be ordered now", 4, 4),
            Panel("Waiting for payment", "stat", "locale", {"reserved": stock("reserved")},
                  "Units in live holds: ordered, and neither paid, cancelled nor expired", 4, 4),
            Panel("Sold", "stat", "locale", {"sold": stock("sold")}, "Units that are paid for", 4, 4),
            Panel("Share sold", "gauge", "percentunit", {"sold": f"{stock('sold')} / {stock('total')}"}, "Units that are paid for, as a share of the stock", 4, 4),
            Panel("Sold out in", "stat", "s", {"left": f"{stock('available')} / clamp_min({pace('reserved')} + {pace('sold')}, 0.001)"},
                  "Time until no unit is available, at the net pace of the last two minutes: units ordered minus units released", 4, 4, {"sparkline": False}),
            Panel("Refunds to settle", "stat", "locale", {"due": largest("flashsale_refunds_due"), "failed": largest("flashsale_refunds_failed"), "reported": largest("flashsale_refunds_reported")},
                  "Of all sales. Due: the buyer paid too late, twice or a wrong amount, or returned the order; failed: the money could not be sent; "
                  "reported: the provider paid back an order that is still paid", 4, 4),
        ],
        "Stock and demand": [
            Panel("Stock", "timeseries", "short",
                  {"{{state}}": f'sum by (state) (max by (sale, state) (flashsale_sale_stock_units{{{SALE}, state!="total"}}))'},
                  "Available, reserved and sold units add up to the stock", 12, 8, {"stack": True}),
            Panel("Orders per second, by outcome", "timeseries", "ops", {"{{outcome}}": rate("flashsale_sale_orders_total", SALE, "outcome")},
                  "Fifty sales have lines of their own. The others are counted as _other", 12, 8),
            Panel("Share of orders refused as sold out", "timeseries", "percentunit",
                  {"of all orders": f'({rate("flashsale_sale_orders_total", SALE + ", outcome=" + chr(34) + "out_of_stock" + chr(34))} or vector(0)) / '
                                    f'{rate("flashsale_sale_orders_total", SALE)}'},
                  "Not enough units were left: high at the end of a sale, and no fault", 6),
            Panel("Payments per second, all sales", "timeseries", "ops", {"{{result}}": rate("flashsale_payments_total", by="result")},
                  "refund_due: the buyer paid too late, or twice. undecided: Redis does not know the order", 6),
            Panel("Units released per second, all sales", "timeseries", "ops", {"{{source}}": rate("flashsale_expired_units_total", by="source")},
                  "By the clock that was first: a wait queue (queue) or the sweeper (sweep)", 6),
            Panel("Returns per second, all sales", "timeseries", "ops",
                  parts_or_zero("flashsale_returns_total", {"returned": 'result="returned"', "other answers": 'result!="returned"'}),
                  "Requests to take a paid order back", 6),
        ],
    },
)  # fmt: skip

ENGINE_BOARD = Dashboard(
    "flashsale-engine",
    "Flashsale / Engine",
    "An order from the click to the ledger, or to its release, step by step.",
    SERVICES,
    {},
    "flashsale_broker_up",
    {
        "Admission": [
            Panel("Orders per second, by outcome", "timeseries", "ops", {"{{outcome}}": rate_of_occurred("flashsale_orders_total", "outcome")},
                  "Answers of the gateways; red ones are faults of the engine", height=9),
            Panel("Response time", "timeseries", "s", percentiles("flashsale_order_seconds"), "From the last byte of an order to its answer", height=9),
            Panel("Requests waiting for Redis", "timeseries", "short", {"{{instance}}": largest("flashsale_waiting_requests", by="instance")},
                  "At FLASHSALE_WAITING_MAX, orders get 503", height=9),
        ],
        "Identity": [
            Panel("Refused proofs per second, by reason", "timeseries", "ops",
                  {"{{reason}}": or_none(rate_of_occurred("flashsale_identity_refused_total", "reason"), "reason")},
                  "Requests whose proof of who sends them was missing or wrong", 12),
            Panel("Buyer tokens asked for per second", "timeseries", "ops",
                  parts_or_zero("flashsale_sessions_total", {"issued": 'result="issued"', "refused": 'result!="issued"'}),
                  "Answers of POST /session", 12),
        ],
        "Batch and script": [
            Panel("Orders per script call", "timeseries", "short", {"mean": mean("flashsale_batch_orders"), "p99": quantile(0.99, "flashsale_batch_orders")},
                  "Orders that one call of the script decides; it grows with the load"),
            Panel("Script time, p99", "timeseries", "s", {"{{script}}": quantile(0.99, "flashsale_script_seconds", "script")},
                  "Includes the fsync of the append-only file"),
            Panel("Script calls repeated per second", "timeseries", "ops", {"all": f"{rate('flashsale_script_repeats_total')} or vector(0)"}, "A call is repeated when its answer was lost"),
        ],
        "Outbox and broker": [
            Panel("Outbox lag", "timeseries", "s", {"lag": largest("flashsale_outbox_lag_seconds")}, "Age of the oldest entry that RabbitMQ has not confirmed"),
            Panel("Entries in the outbox", "timeseries", "short", {"entries": largest("flashsale_outbox_entries")},
                  "It grows while RabbitMQ is away"),
            Panel("Messages published per second", "timeseries", "ops",
                  {"confirmed": rate("flashsale_published_total"), "failed": f"{rate('flashsale_publish_failures_total')} or vector(0)"},
                  "A message has up to 256 orders. Failed ones are sent again"),
            Panel("Time until RabbitMQ confirms", "timeseries", "s", percentiles("flashsale_publish_seconds"), "From sending a message to its confirm"),
            Panel("Connected gateways", "stat", "short", {"up": f"sum(flashsale_broker_up{{{NS}}})"}, "Gateways with a channel to RabbitMQ", 4, colors=ALL_UP),
            Panel("Working wait queues", "stat", "short", {"up": f"sum({largest('flashsale_wait_up', by='window')})"}, "Payment windows whose wait queue returns messages", 4, colors=ALL_UP),
            Panel("Unroutable messages kept", "stat", "short", {"kept": f"min(flashsale_unrouted_kept{{{NS}}})"}, "yes while RabbitMQ has the policy `events`", 4, colors=ALL_UP, words=YES_NO),
            Panel("Redis durable", "stat", "short", {"durable": f"min(flashsale_redis_durable{{{NS}}})"}, "yes while Redis keeps what it acknowledged", 4, colors=ALL_UP, words=YES_NO),
        ],
        "Ledger": [
            Panel("Messages consumed per second", "timeseries", "ops", {"{{queue}}": rate("flashsale_consumed_total", by="queue")}, "By the workers, from RabbitMQ"),
            Panel("Ledger lag", "timeseries", "s", {"lag": largest("flashsale_ledger_lag_seconds")}, "Age of a batch's newest event when the batch was committed"),
            Panel("Postgres commit time", "timeseries", "s", percentiles("flashsale_ledger_commit_seconds"), "Of one batch"),
            Panel("Messages per batch", "timeseries", "short", {"{{queue}}": mean("flashsale_batch_messages", "queue")}, "Messages that a worker handles at once, on average"),
            Panel("Batch time, p99", "timeseries", "s", {"{{queue}}": quantile(0.99, "flashsale_batch_seconds", "queue")}, "From the first message of a batch to its acknowledgement"),
            Panel("Redelivered, retried, parked per second", "timeseries", "ops",
                  {name: f"{rate(f'flashsale_{metric}_total')} or vector(0)"
                   for name, metric in (("redelivered", "redelivered"), ("retried", "batch_retries"), ("parked", "parked"))},
                  "A parked message waits for a person"),
        ],
        "Expiry": [
            Panel("Delay of expiry", "timeseries", "s", percentiles("flashsale_expiry_lateness_seconds"), "From an order's deadline to the release of its units", 6),
            Panel("Orders expired per second", "timeseries", "ops", {"{{source}}": rate("flashsale_expired_orders_total", by="source")}, "By the clock that was first: a wait queue (queue) or the sweeper (sweep)", 6),
            Panel("Overdue orders", "timeseries", "short", {"orders": largest("flashsale_overdue_orders")}, "Orders past their deadline that the last sweep found", 6),
            Panel("Time of a sweep", "timeseries", "s", percentiles("flashsale_sweep_seconds"), "Of all shards", 6),
        ],
        "Recovery": [
            Panel("Closed shards", "stat", "short", {"shards": largest("flashsale_fenced_shards")},
                  "Shards of Redis that refuse every change until the keeper has opened them", 4, colors=NONE_WANTED),
            Panel("Lost entries", "stat", "short", {"entries": f"sum(flashsale_lost_entries_total{{{NS}}})"},
                  "Acknowledged changes that a recovery found nowhere, since the keepers started", 4, colors=NONE_WANTED),
            Panel("Active keepers", "stat", "short", {"active": f"sum(flashsale_keeper_active{{{NS}}})"}, "One works, the others stand by", 4, colors=ALL_UP),
            Panel("Time that a shard has been closed", "timeseries", "s", {"longest": largest("flashsale_recovering_seconds")}, "0 while all are open", 6),
            Panel("Redis opened again", "timeseries", "short",
                  {name: f"sum(flashsale_{metric}_total{{{NS}}})"
                   for name, metric in (("as it was", "reseals"), ("rebuilt", "rebuilds"), ("interrupted", "rebuild_failures"))},
                  "Since the keepers started", 6),
        ],
        "Webhooks": [
            Panel("Deliveries due", "timeseries", "short", {"deliveries": f"sum({largest('flashsale_webhook_deliveries_due', by='endpoint')}) or vector(0)"},
                  "Events that an endpoint has not received yet. All panels of this row are 0 without a notifier"),
            Panel("Oldest delivery", "timeseries", "s", {"age": f"{largest('flashsale_webhook_oldest_seconds')} or vector(0)"}, "Of any endpoint that is enabled"),
            Panel("Attempts per second", "timeseries", "ops",
                  parts_or_zero("flashsale_webhook_attempts_total", {"sent": 'result="sent"', "refused": 'result!="sent"'}),
                  "Refused ones are sent again, for three days"),
        ],
        "Pages": [
            Panel("Open pages", "timeseries", "short", {"streams": f"sum(flashsale_storefront_streams{{{NS}}}) or vector(0)"},
                  "Event streams of the storefronts. All panels of this row are 0 without storefront and console", 6),
            Panel("Answers to pages per second", "timeseries", "ops",
                  parts_or_zero("flashsale_storefront_requests_total", {"answered": 'code!~"5.."', "503": 'code=~"5.."'}),
                  "503: Redis is away or recovering, or more sales are watched than FLASHSALE_STOREFRONT_SALES_MAX", 6),
            Panel("Age of the numbers on pages", "timeseries", "s", {"age": f"{largest('flashsale_storefront_read_age_seconds')} or vector(0)"},
                  "Of the storefront that read Redis longest ago", 6),
            Panel("Changes in the console per second", "timeseries", "ops",
                  parts_or_zero("flashsale_console_changes_total", {"done": 'result="done"', "refused": 'result!="done"'}),
                  "Each is in its log, with who made it", 6),
        ],
        "Saturation": [
            Panel("CPU", "timeseries", "short", {"{{job}} {{instance}}": f"rate({of_jobs('process_cpu_seconds_total')}[{RATE}])"}, "Cores. A process uses one core at most"),
            Panel("Memory", "timeseries", "bytes", {"{{job}} {{instance}}": of_jobs("process_resident_memory_bytes")}, "Resident memory of each process"),
            Panel("Connections", "timeseries", "short", {"{{instance}}": largest("flashsale_connections", by="instance")},
                  "At FLASHSALE_CONNECTIONS_MAX, new connections get 503"),
        ],
    },
)  # fmt: skip

OPERATOR_BOARD = Dashboard(
    "flashsale-operator",
    "Flashsale / Operator",
    "Whether the sales in Redis are as their FlashSale resources declare.",
    f"flashsale_operator_objects{{{RELEASE}}}",
    {},
    "flashsale_operator_last_reconcile_timestamp_seconds",
    {
        "FlashSales": [
            Panel("FlashSales by phase", "timeseries", "short", {"{{phase}}": f"{largest('flashsale_operator_objects', by='phase')} > 0"}, "`phase` of their status", 12, 8, {"stack": True}),
            Panel("Stalled", "stat", "short", {"stalled": f'sum(flashsale_operator_objects{{{NS}, phase="Stalled"}}) or vector(0)'},
                  "Each needs a person. `kubectl get fs -o wide` shows the reason", 6, 8, colors=NONE_WANTED),
            Panel("Since the last reconciliation", "stat", "s",
                  {"age": f"time() - max(flashsale_operator_last_reconcile_timestamp_seconds{{{NS}}} > 0)"}, "Of any FlashSale", 6, 8),
        ],
        "Reconciliation": [
            Panel("Reconciliations per second, by outcome", "timeseries", "ops", {"{{cause}} {{outcome}}": rate("flashsale_operator_reconciles_total", by="cause, outcome")},
                  "What caused them, and the condition's reason afterwards"),
            Panel("Time of a reconciliation", "timeseries", "s", percentiles("flashsale_operator_reconcile_seconds"), "Without the time of the apiserver"),
            Panel("Reconciliations stopped by a Redis error, per second", "timeseries", "ops", {"errors": rate("flashsale_operator_reconcile_errors_total")}, "They are repeated"),
            Panel("CPU", "timeseries", "short", {"{{instance}}": f"rate({of_jobs('process_cpu_seconds_total')}[{RATE}])"}, "Cores", 12),
            Panel("Memory", "timeseries", "bytes", {"{{instance}}": of_jobs("process_resident_memory_bytes")}, "Resident memory", 12),
        ],
    },
)  # fmt: skip

DASHBOARDS = (SALE_BOARD, ENGINE_BOARD, OPERATOR_BOARD)
