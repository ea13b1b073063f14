"""`python -m tools.docs.metrics`: write docs/metrics.md from the code.

With --check it writes nothing and exits with 1 when the page differs from what would be written.
The code gives name, type, labels, unit and meaning. This file gives what to do, and a metric without such a text is an error.
"""

import importlib
import sys
from collections.abc import Iterator
from typing import Any

from prometheus_client import REGISTRY
from prometheus_client.metrics import Histogram, MetricWrapperBase

from tools.repository import ROOT

PAGE = ROOT / "docs" / "metrics.md"
UNITS = ("seconds", "units")
WHERE = {
    "Gateway": "flashsale_gateway.metrics",
    "order-worker": "flashsale_order_worker.metrics",
    "timeout-worker": "flashsale_timeout_worker.metrics",
    "Both workers": "flashsale_consumer.metrics",
    "Every service": "flashsale_core.supervise",
    "Operator": "flashsale_operator.metrics",
    "Gateway, timeout-worker and operator": "flashsale_redis.metrics",
}
HEAD = """# Metrics

Written from the code by `python -m tools.docs.metrics`; a test holds the two together.

Every service answers `/metrics`: the gateway on its own port, order-worker 9101, timeout-worker 9102, operator 9103. A scraper that asks for
OpenMetrics gets exemplars: `flashsale_order_seconds` carries the trace id of a sampled order. `process_*` and `python_*` come with the client library.

**Series are bounded.** Labels take values from fixed sets, but for `sale`: at most 50 sales have series of their own, in each gateway. Stock is
shown of the first 50 by name; orders of the first 50 that were ordered from, the others as `_other` (a sale without an order for an hour gives
its place to one that wants it). So a gateway has at most 250 series of stock and about 600 of orders, with ten sales or ten thousand.

Several gateways, or workers, tell the same of what they share: use `max` over pods for stock, lag and refunds, `sum` for what each did itself.
"""
DO = {
    "flashsale_orders": "Rate by outcome is demand. `internal`, `not_ready`, `outcome_unknown`, `overloaded` and `outbox_lag` are ours to mend: FlashsaleErrorBudgetBurn.",
    "flashsale_order_seconds": "p99 past 0.25 s: look at flashsale_script_seconds (Redis) first, then at the CPU of the gateway. FlashsaleLatencyBudgetBurn.",
    "flashsale_payments": "`refund_due` rising: people pay too late, or twice. Lengthen the window, or look at the provider.",
    "flashsale_cancels": "For insight.",
    "flashsale_batch_orders": "1 is idle. Near 256, Redis is the bottleneck: fewer gateways, or more shards on more nodes.",
    "flashsale_script_seconds": "Includes the fsync of Redis' append-only file: a slow disk shows here.",
    "flashsale_script_repeats": "Answers were lost: look at the network to Redis, or a restart of it.",
    "flashsale_waiting_requests": "At FLASHSALE_WAITING_MAX orders get 503 `overloaded`: add gateways.",
    "flashsale_waiting_seconds": "More than three times FLASHSALE_REDIS_TIMEOUT_SECONDS: requests are stuck, `/healthz` says 503, and Kubernetes restarts the pod.",
    "flashsale_connections_ended": "Rising: somebody sends garbage, floods a connection or reads no answers. SECURITY.md lists what each client can cost; limit its address at the load balancer.",
    "flashsale_connections": "At FLASHSALE_CONNECTIONS_MAX, or near the limit of open files, new ones get 503: add gateways, or raise both.",
    "flashsale_reads_refused": "Rising: a crowd reads more than one gateway shows; orders go on. Put a cache in front of /sales (its Cache-Control allows a second), or add gateways.",
    "flashsale_connections_refused": "Not 0: the bound of flashsale_connections was met. Buyers that repeat get through as others leave.",
    "flashsale_outbox_lag_seconds": "FlashsaleOutboxLag. Past the configured limit orders get 503.",
    "flashsale_outbox_entries": "Grows while RabbitMQ is away; falls when the relay catches up.",
    "flashsale_published": "Beside accepted orders: entries carry up to 256 orders.",
    "flashsale_publish_failures": "RabbitMQ refuses or is away: its log says why.",
    "flashsale_publish_seconds": "Confirm of a quorum queue: disk and network of RabbitMQ.",
    "flashsale_outbox_rescued": "A gateway died, or an answer of Redis was lost: normal after a crash. Steady growth: gateways that cannot publish.",
    "flashsale_outbox_claimed": "A gateway stopped without handing on: normal after a crash.",
    "flashsale_refused_routes": "Not 0: a queue is full or without its leader, `route.refused` in the log names the route. It rests for up to 10 s between two tries; other routes go on.",
    "flashsale_broker_up": "FlashsaleBrokerDown.",
    "flashsale_unrouted_kept": "FlashsaleUnroutedLost.",
    "flashsale_redis_wrong_server": "A failover: normal for its seconds. Steady growth: REDIS_URL leads to a replica, or to a master cut off from its replicas.",
    "flashsale_redis_durable": "FlashsaleRedisNotDurable. The reason is in the gateway's /readyz.",
    "flashsale_sale_orders": "Demand for a sale, and what became of it.",
    "flashsale_sale_imbalance_units": "Never anything but 0. FlashsaleOversold: stop the sale, run `flashsale audit`.",
    "flashsale_sale_stock_units": "What the merchant watches: `reserved` waits for payment.",
    "flashsale_ledger_orders": "For insight: states reaching the ledger.",
    "flashsale_ledger_messages": "For insight.",
    "flashsale_database_up": "0: the order-worker keeps messages in RabbitMQ until Postgres is back.",
    "flashsale_ledger_known_batches": "A redelivery, or two workers: normal after a crash. Steady growth costs Postgres: messages come out of order.",
    "flashsale_ledger_commit_seconds": "Postgres' disk.",
    "flashsale_ledger_lag_seconds": "FlashsaleLedgerLag. Add order-workers, or look at the commit time.",
    "flashsale_refunds_due": "Money to be moved back: `select * from refunds where state = 'due'`.",
    "flashsale_refunds_oldest_seconds": "FlashsaleRefundsStuck.",
    "flashsale_removed_sales": "For insight; rises as closed and ended sales pass FLASHSALE_SALE_RETENTION_SECONDS.",
    "flashsale_expired_orders": "`sweep` far above `queue`: the wait queues do not give back, see FlashsaleWaitLost.",
    "flashsale_expired_units": "Units back on sale.",
    "flashsale_expiry_lateness_seconds": "FlashsaleExpiryLate. Add timeout-workers.",
    "flashsale_sweep_seconds": "Past the sweep interval (0.5 s) the sweeper cannot keep up.",
    "flashsale_sweep_failures": "Redis was away.",
    "flashsale_sweep_refused_orders": "A sale's data is broken: `flashsale audit`.",
    "flashsale_early_orders": "rising: a clock was set back, Redis' or the broker's; the holds wait again, and end by Redis' clock",
    "flashsale_wait_up": "FlashsaleWaitLost.",
    "flashsale_overdue_orders": "FlashsaleOverdueOrders.",
    "flashsale_consumed": "For insight.",
    "flashsale_redelivered": "A worker ended with messages in hand, or its store was away for long; nothing is parked for that.",
    "flashsale_batches": "For insight.",
    "flashsale_batch_messages": "Near 1 under load: the worker is faster than its queue.",
    "flashsale_batch_seconds": "Where a worker's time goes: Postgres or Redis.",
    "flashsale_batch_retries": "A store was away; the batch was kept.",
    "flashsale_parked": "How fast, and why: FlashsaleParkedMessages.",
    "flashsale_parked_messages": "FlashsaleParkedMessages: `flashsale parked list`.",
    "flashsale_consumer_up": "FlashsaleConsumerDown.",
    "flashsale_task_restarts": "Not 0: a fault of ours, which `task.ended` in the log explains. Not ready while the task is down.",
    "flashsale_operator_reconciles": "For insight; outcome `error` repeats until it is mended.",
    "flashsale_operator_reconcile_seconds": "Redis, as the operator sees it.",
    "flashsale_operator_reconcile_errors": "Redis was away; orders may be hurt too.",
    "flashsale_operator_objects": "`Stalled` above 0: FlashsaleStalled.",
    "flashsale_operator_last_reconcile_timestamp_seconds": "FlashsaleOperatorSilent.",
}  # fmt: skip


def main() -> int:
    text = render()
    if "--check" in sys.argv:
        return int(not PAGE.exists() or PAGE.read_text() != text)
    PAGE.write_text(text)
    return 0


def render() -> str:
    """The page. Raises KeyError when a metric has no entry in DO, or an entry no metric."""
    lines, told = [HEAD], set()
    for title, module in WHERE.items():
        lines.append(f"\n## {title}\n\n| metric | type | labels | unit | meaning | what to do |\n|---|---|---|---|---|---|")
        for metric in metrics(module):
            name = metric._name
            told.add(name)
            exposed = f"{name}_total" if metric._type == "counter" else name
            labels = ", ".join(metric._labelnames) or "-"
            unit = next((unit for unit in UNITS if name.endswith(unit)), "count" if metric._type != "gauge" else "-")
            meaning = metric._documentation + (f"; buckets {_buckets(metric)}" if isinstance(metric, Histogram) else "")
            lines.append(f"| `{exposed}` | {metric._type} | {labels} | {unit} | {meaning} | {DO[name]} |")
    if set(DO) != told:
        raise KeyError(f"no such metric: {sorted(set(DO) - told)}")
    return "\n".join(lines) + "\n"


def metrics(module: str) -> Iterator[MetricWrapperBase]:
    """The metrics a module defines, in its order."""
    for value in vars(importlib.import_module(module)).values():
        if isinstance(value, MetricWrapperBase):
            yield value


def registered() -> set[str]:
    """Every metric of ours that importing the services registers, wherever it is defined."""
    for module in WHERE.values():
        importlib.import_module(module)
    names: dict[Any, Any] = REGISTRY._collector_to_names
    return {collector._name for collector in names if isinstance(collector, MetricWrapperBase)}


def _buckets(metric: Histogram) -> str:
    bounds = [bound for bound in metric._upper_bounds if bound != float("inf")]
    return f"{bounds[0]:g} to {bounds[-1]:g}"


if __name__ == "__main__":
    sys.exit(main())
