"""`python -m tools.dashboards.generate`: write the Grafana dashboards from the panels below.

With --check it writes nothing and exits with 1 when a file differs from what would be written.
"""

import json
import math
import sys
from dataclasses import dataclass, field
from typing import Any

from tools import repository

NS = 'namespace=~"$namespace"'
SALE = f'{NS}, sale=~"$sale"'
RATE = "$__rate_interval"
# What All stands for where that is not the values there are: ".*" matches a missing label too, and without Kubernetes there is no namespace.
# All jobs are those of ours, and not every process that Prometheus scrapes.
ALL_VALUES = {"namespace": {"allValue": ".*"}, "sale": {"allValue": ".*"}}
# Without any, Grafana takes its own: red from 80 on.
PLAIN = {-math.inf: "blue"}
ALL_UP = {-math.inf: "red", 1: "green"}
NONE_WANTED = {-math.inf: "green", 1: "red"}
YES_NO = {0: "no", 1: "yes"}
# Of lines, by what their legend names: good news is green, and a line has not one color today and another tomorrow.
LINES = {
    "{{state}}": {"available": "green", "reserved": "yellow", "sold": "blue"},
    "{{outcome}}": {
        "accepted": "green", "replayed": "blue", "out_of_stock": "orange", "not_started": "yellow",
        "rate_limited": "purple", "user_limit": "dark-purple", "order_limit": "light-purple", "bad_request": "dark-orange",
        "internal": "red", "not_ready": "dark-red", "outcome_unknown": "dark-red", "overloaded": "red", "outbox_lag": "red",
    },
    "{{result}}": {"paid": "green", "replayed": "blue", "noted": "yellow", "refund_due": "red"},
    "{{phase}}": {"Live": "green", "Scheduled": "blue", "SoldOut": "orange", "Paused": "yellow", "Ended": "purple", "Stalled": "red"},
}  # fmt: skip
# Grafana's dashboard JSON, as its 10th release writes it.
SCHEMA_VERSION = 38


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
    """Of a big number that is well or not: from which value on it has which color."""
    words: dict[int, str] = field(default_factory=dict)
    """Of a big number: what is said instead of it."""


@dataclass(frozen=True)
class Dashboard:
    name: str
    title: str
    about: str
    variables: dict[str, str]
    """Name -> PromQL of its values, besides the namespace."""
    namespace_of: str
    rows: dict[str, list[Panel]]


def stock(state: str) -> str:
    return f'sum(max by (sale) (flashsale_sale_stock_units{{{SALE}, state="{state}"}}))'


def pace(state: str) -> str:
    """Of units that come to a state, whatever happens to the stock meanwhile."""
    return f'sum(max by (sale) (deriv(flashsale_sale_stock_units{{{SALE}, state="{state}"}}[2m])))'


def rate(metric: str, selector: str = NS, by: str = "") -> str:
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{{{selector}}}[{RATE}]))"


def rate_of_those_seen(metric: str, by: str) -> str:
    """Without the values of the label that never were: a legend of fifteen zeros says less than one of five lines."""
    return f"{rate(metric, by=by)} and sum by ({by}) ({metric}{{{NS}}}) > 0"


def quantile(which: float, metric: str, by: str = "") -> str:
    return f"histogram_quantile({which}, sum by ({', '.join(filter(None, (by, 'le')))}) (rate({metric}_bucket{{{NS}}}[{RATE}])))"


def percentiles(metric: str) -> dict[str, str]:
    return {"p50": quantile(0.5, metric), "p99": quantile(0.99, metric), "p99.9": quantile(0.999, metric)}


def mean(metric: str, by: str = "") -> str:
    return f"{rate(f'{metric}_sum', by=by)} / {rate(f'{metric}_count', by=by)}"


def most(metric: str, selector: str = NS, by: str = "") -> str:
    return f"max{f' by ({by})' if by else ''} ({metric}{{{selector}}})"


def ours(metric: str) -> str:
    return f'{metric}{{{NS}, job=~"$job"}}'


SALE_BOARD = Dashboard(
    "flashsale-sale",
    "Flashsale / Sale",
    "For the merchant: what is left, what is sold, what people want.",
    {"sale": f"label_values(flashsale_sale_stock_units{{{NS}}}, sale)"},
    "flashsale_sale_stock_units",
    {
        "Now": [
            Panel("Available", "stat", "locale", {"available": stock("available")}, "Units that can be ordered now", 4, 4),
            Panel("Waiting for payment", "stat", "locale", {"reserved": stock("reserved")},
                  "Units held by orders that are neither paid nor expired", 4, 4),
            Panel("Sold", "stat", "locale", {"sold": stock("sold")}, "Units paid for", 4, 4),
            Panel("Sold of all", "gauge", "percentunit", {"sold": f"{stock('sold')} / {stock('total')}"}, "", 4, 4),
            Panel("Sold out in", "stat", "s", {"left": f"{stock('available')} / clamp_min({pace('reserved')} + {pace('sold')}, 0.001)"},
                  "At the pace at which units were taken in the last two minutes, those that came back taken off", 4, 4, {"sparkline": False}),
            Panel("Refunds due", "stat", "locale", {"refunds": most("flashsale_refunds_due")},
                  "Money to be moved back, of all sales: paid too late, or twice", 4, 4),
        ],
        "Stock and demand": [
            Panel("Stock", "timeseries", "short",
                  {"{{state}}": f'sum by (state) (max by (sale, state) (flashsale_sale_stock_units{{{SALE}, state!="total"}}))'},
                  "Available, reserved and sold add up to the total", 12, 8, {"stack": True}),
            Panel("Orders a second, by what became of them", "timeseries", "ops", {"{{outcome}}": rate("flashsale_sale_orders_total", SALE, "outcome")},
                  "A sale past the fiftieth is counted as _other", 12, 8),
            Panel("Refused for want of stock", "timeseries", "percentunit",
                  {"of all orders": f'({rate("flashsale_sale_orders_total", SALE + ", outcome=" + chr(34) + "out_of_stock" + chr(34))} or vector(0)) / '
                                    f'{rate("flashsale_sale_orders_total", SALE)}'}),
            Panel("Payments a second, all sales", "timeseries", "ops", {"{{result}}": rate("flashsale_payments_total", by="result")},
                  "refund_due: paid too late, or twice"),
            Panel("Units given back a second, all sales", "timeseries", "ops", {"{{source}}": rate("flashsale_expired_units_total", by="source")},
                  "By the clock that was first: the wait queue, or the sweeper"),
        ],
    },
)  # fmt: skip

ENGINE_BOARD = Dashboard(
    "flashsale-engine",
    "Flashsale / Engine",
    "Hop by hop, from the click to the ledger and back to stock.",
    {"job": f'label_values({{__name__=~"flashsale_broker_up|flashsale_consumer_up", {NS}}}, job)'},
    "flashsale_broker_up",
    {
        "Admission": [
            Panel("Orders a second", "timeseries", "ops", {"{{outcome}}": rate_of_those_seen("flashsale_orders_total", "outcome")}, height=9),
            Panel("Time to an answer", "timeseries", "s", percentiles("flashsale_order_seconds"), "From the last byte of the order", height=9),
            Panel("Waiting for Redis", "timeseries", "short", {"{{instance}}": most("flashsale_waiting_requests", by="instance")},
                  "At FLASHSALE_WAITING_MAX orders get 503", height=9),
        ],
        "Batch and script": [
            Panel("Orders in one call", "timeseries", "short", {"mean": mean("flashsale_batch_orders"), "p99": quantile(0.99, "flashsale_batch_orders")}),
            Panel("Script time, p99", "timeseries", "s", {"{{script}}": quantile(0.99, "flashsale_script_seconds", "script")},
                  "The fsync of the append-only file is in it"),
            Panel("Calls repeated a second", "timeseries", "ops", {"all": f"{rate('flashsale_script_repeats_total')} or vector(0)"}, "Answers that were lost"),
        ],
        "Outbox and broker": [
            Panel("Outbox lag", "timeseries", "s", {"lag": most("flashsale_outbox_lag_seconds")}, "Age of the oldest entry RabbitMQ has not confirmed"),
            Panel("Entries in the outbox", "timeseries", "short", {"entries": most("flashsale_outbox_entries")}),
            Panel("Published a second", "timeseries", "ops",
                  {"confirmed": rate("flashsale_published_total"), "failed": f"{rate('flashsale_publish_failures_total')} or vector(0)"}),
            Panel("Time to a confirm", "timeseries", "s", percentiles("flashsale_publish_seconds")),
            Panel("Gateways with a channel", "stat", "short", {"up": f"sum(flashsale_broker_up{{{NS}}})"}, "", 4, colors=ALL_UP),
            Panel("Wait queues that give back", "stat", "short", {"up": f"sum({most('flashsale_wait_up', by='window')})"}, "", 4, colors=ALL_UP),
            Panel("Unroutable kept", "stat", "short", {"kept": f"min(flashsale_unrouted_kept{{{NS}}})"}, "While the policy `events` is there", 4, colors=ALL_UP, words=YES_NO),
            Panel("Redis durable", "stat", "short", {"durable": f"min(flashsale_redis_durable{{{NS}}})"}, "", 4, colors=ALL_UP, words=YES_NO),
        ],
        "Ledger": [
            Panel("Messages a second", "timeseries", "ops", {"{{queue}}": rate("flashsale_consumed_total", by="queue")}),
            Panel("Ledger lag", "timeseries", "s", {"lag": most("flashsale_ledger_lag_seconds")}, "Age of the newest event when its batch was committed"),
            Panel("Commit time", "timeseries", "s", percentiles("flashsale_ledger_commit_seconds")),
            Panel("Messages in one batch", "timeseries", "short", {"{{queue}}": mean("flashsale_batch_messages", "queue")}),
            Panel("Batch time, p99", "timeseries", "s", {"{{queue}}": quantile(0.99, "flashsale_batch_seconds", "queue")}),
            Panel("Redelivered, retried, parked a second", "timeseries", "ops",
                  {name: f"{rate(f'flashsale_{metric}_total')} or vector(0)"
                   for name, metric in (("redelivered", "redelivered"), ("retried", "batch_retries"), ("parked", "parked"))}),
        ],
        "Expiry": [
            Panel("Lateness", "timeseries", "s", percentiles("flashsale_expiry_lateness_seconds"), "From an order's deadline to its expiry", 6),
            Panel("Orders expired a second", "timeseries", "ops", {"{{source}}": rate("flashsale_expired_orders_total", by="source")}, "", 6),
            Panel("Overdue", "timeseries", "short", {"orders": most("flashsale_overdue_orders")}, "Found by the last sweep", 6),
            Panel("One sweep", "timeseries", "s", percentiles("flashsale_sweep_seconds"), "", 6),
        ],
        "Saturation": [
            Panel("CPU", "timeseries", "short", {"{{job}} {{instance}}": f"rate({ours('process_cpu_seconds_total')}[{RATE}])"}, "Cores; one process uses one"),
            Panel("Memory", "timeseries", "bytes", {"{{job}} {{instance}}": ours("process_resident_memory_bytes")}),
            Panel("Connections", "timeseries", "short", {"{{instance}}": most("flashsale_connections", by="instance")},
                  "At FLASHSALE_CONNECTIONS_MAX new ones get 503"),
        ],
    },
)  # fmt: skip

OPERATOR_BOARD = Dashboard(
    "flashsale-operator",
    "Flashsale / Operator",
    "Whether FlashSales are what they say.",
    {"job": f"label_values(flashsale_operator_objects{{{NS}}}, job)"},
    "flashsale_operator_last_reconcile_timestamp_seconds",
    {
        "FlashSales": [
            Panel("By phase", "timeseries", "short", {"{{phase}}": f"{most('flashsale_operator_objects', by='phase')} > 0"}, "", 12, 8, {"stack": True}),
            Panel("Stalled", "stat", "short", {"stalled": f'sum(flashsale_operator_objects{{{NS}, phase="Stalled"}}) or vector(0)'},
                  "A person is needed: kubectl get fs -o wide", 6, 8, colors=NONE_WANTED),
            Panel("Since the last reconciliation", "stat", "s",
                  {"age": f"time() - max(flashsale_operator_last_reconcile_timestamp_seconds{{{NS}}} > 0)"}, "", 6, 8),
        ],
        "Reconciliation": [
            Panel("A second, by outcome", "timeseries", "ops", {"{{cause}} {{outcome}}": rate("flashsale_operator_reconciles_total", by="cause, outcome")}),
            Panel("Time", "timeseries", "s", percentiles("flashsale_operator_reconcile_seconds"), "The apiserver is not in it"),
            Panel("Cut short by Redis, a second", "timeseries", "ops", {"errors": rate("flashsale_operator_reconcile_errors_total")}),
            Panel("CPU", "timeseries", "short", {"{{instance}}": f"rate({ours('process_cpu_seconds_total')}[{RATE}])"}, "", 12),
            Panel("Memory", "timeseries", "bytes", {"{{instance}}": ours("process_resident_memory_bytes")}, "", 12),
        ],
    },
)  # fmt: skip

DASHBOARDS = (SALE_BOARD, ENGINE_BOARD, OPERATOR_BOARD)


def main() -> int:
    stale = False
    for dashboard in DASHBOARDS:
        path, text = repository.DASHBOARDS / f"{dashboard.name}.json", json.dumps(document(dashboard), indent=1) + "\n"
        if "--check" in sys.argv:
            stale |= not path.exists() or path.read_text() != text
        else:
            path.write_text(text)
    return int(stale)


def document(dashboard: Dashboard) -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    return {
        "uid": dashboard.name,
        "title": dashboard.title,
        "description": dashboard.about,
        "tags": ["flashsale"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "5s",
        "time": {"from": "now-15m", "to": "now"},
        "templating": {"list": _variables(dashboard)},
        "panels": _panels(dashboard),
    }


def _variables(dashboard: Dashboard) -> list[dict[str, Any]]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    queries = {"namespace": f"label_values({dashboard.namespace_of}, namespace)", **dashboard.variables}
    found: list[dict[str, Any]] = [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}]
    for name, query in queries.items():
        found.append({"name": name, "label": name.capitalize(), "type": "query", "datasource": source, "definition": query,
                      "query": {"query": query, "refId": name}, "refresh": 2, "sort": 1, "includeAll": True, "multi": name != "namespace",
                      **ALL_VALUES.get(name, {}), "current": {"text": "All", "value": "$__all"}})  # fmt: skip
    return found


def _panels(dashboard: Dashboard) -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in dashboard.rows.items():
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "gridPos": {"h": 1, "w": 24, "x": 0, "y": y}, "panels": []})
        x, y, tallest = 0, y + 1, 0
        for panel in row:
            if x + panel.width > 24:
                x, y, tallest = 0, y + tallest, 0
            place = {"h": panel.height, "w": panel.width, "x": x, "y": y}
            panels.append(_panel(len(panels) + 1, panel, place))
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return panels


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    exemplars = panel.kind == "timeseries" and "histogram_quantile" in "".join(panel.queries.values())
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "gridPos": place,
        "datasource": source,
        "fieldConfig": {
            "defaults": _line_style(panel) if panel.kind == "timeseries" else _number_style(panel),
            "overrides": _colors(panel),
        },
        "options": _options(panel),
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": source, "expr": query, "legendFormat": legend, "exemplar": exemplars}
            for index, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def _range(panel: Panel) -> dict[str, Any]:
    return {"unit": panel.unit, "min": 0, **({"max": 1} if panel.unit == "percentunit" else {})}


def _line_style(panel: Panel) -> dict[str, Any]:
    stack = bool(panel.options.get("stack"))
    custom = {"fillOpacity": 20 if stack else 5, "showPoints": "never", "stacking": {"mode": "normal" if stack else "none"}}
    return {**_range(panel), "custom": custom}


def _number_style(panel: Panel) -> dict[str, Any]:
    steps = [{"color": color, "value": None if value == -math.inf else value} for value, color in (panel.colors or PLAIN).items()]
    said = {str(value): {"text": text} for value, text in panel.words.items()}
    return {
        **_range(panel),
        "color": {"mode": "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
        "mappings": [{"type": "value", "options": said}] if said else [],
    }


def _colors(panel: Panel) -> list[dict[str, Any]]:
    fixed = {name: color for legend in panel.queries for name, color in LINES.get(legend, {}).items()}
    return [
        {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}]}
        for name, color in fixed.items()
    ]


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "timeseries":
        return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    sparkline = panel.options.get("sparkline", not panel.colors)
    return {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area" if sparkline else "none"}


if __name__ == "__main__":
    sys.exit(main())
