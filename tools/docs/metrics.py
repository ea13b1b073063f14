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
    "keeper": "flashsale_keeper.metrics",
    "ledger-api": "flashsale_ledger_api.metrics",
    "keeper: the live audit": "flashsale_audit.metrics",
    "notifier": "flashsale_notifier.metrics",
    "console": "flashsale_console.metrics",
    "storefront": "flashsale_storefront.metrics",
    "Workers and notifier": "flashsale_consumer.metrics",
    "Every service": "flashsale_core.supervise",
    "Operator": "flashsale_operator.metrics",
    "Gateway, timeout-worker, keeper and operator": "flashsale_redis.metrics",
}
HEAD = """# Metrics

`python -m tools.docs.metrics` writes this page from the code, and a test compares the two.

Every service answers `/metrics`: the gateway on its admin port (`FLASHSALE_ADMIN_PORT`; in the chart 8001) or, without one, on its only port, the order-worker on 9101, the timeout-worker on 9102, the operator on 9103, the keeper on 9104, the ledger-api on 9105, the notifier on 9106, the storefront on 9107, the console on 9108.
A scraper that asks for OpenMetrics gets exemplars: `flashsale_order_seconds` carries the trace id of a sampled order.
The client library adds `process_*` and `python_*`.

**The number of series is bounded.**
The values of every label come from a fixed set, except for `sale` and for `endpoint`, the names of at most 32 endpoints of webhooks.
Each gateway shows at most 50 sales by name.
For stock, these are the first 50 sales in the order of their names.
For orders, these are the first 50 sales that were ordered from, and `_other` counts the rest; a sale without an order for an hour makes room for another one.
So a gateway has at most 250 series of stock and about 600 of orders, with ten sales or ten thousand.

Several gateways, or several workers, report the same value for what they share.
Use `max` over the pods for stock, lag and refunds, and `sum` for what each pod did itself.
"""
ADVICE = {
    "flashsale_orders": "The rate by outcome is the demand. `internal`, `not_ready`, `outcome_unknown`, `overloaded`, `outbox_lag`, `broker_away` and `recovering` are faults of the engine, not of the buyer: see FlashsaleErrorBudgetBurn. `too_many_forgeries` is the 429 of FLASHSALE_JWT_FAILURES_PER_SECOND: somebody sends forged JWTs.",
    "flashsale_audit_differences": "Not 0: something is wrong with a sale, and it is no matter of timing. The keeper's log event `audit.difference` names it. See FlashsaleAuditDifference.",
    "flashsale_audit_running": "0 on every keeper: nothing is audited. The keeper's log event `audit.interrupted` gives the reason. See FlashsaleAuditStopped.",
    "flashsale_audit_skipped": "Not 0: some sales, or their orders in the ledger, were not judged. See FlashsaleAuditSkipped. The log event `audit.skipped` gives the reason; "
    "differences found before stay until they are.",
    "flashsale_audit_rounds": "It must rise. If not, see `flashsale_audit_running`.",
    "flashsale_audit_orders": "Nothing; for insight.",
    "flashsale_audit_round_seconds": "How long a difference can remain unnoticed, at most about twice this. It grows with the orders in Redis: remove finished sales.",
    "flashsale_audit_cpu_seconds": "Its rate stays below 0.02.",
    "flashsale_order_seconds": "p99 above 0.25 s: check `flashsale_script_seconds` (Redis) first, then the CPU of the gateways. See FlashsaleLatencyBudgetBurn.",
    "flashsale_payments": "`refunded` counts the provider's reports of refunds. `refund_due` rises: buyers pay too late, or twice. Make the payment window longer, or check the payment provider. `undecided` counts payments of orders that Redis does not know: the ledger decides. `wrong_amount`: see FlashsaleWrongAmounts.",
    "flashsale_cancels": "Nothing; for insight.",
    "flashsale_returns": "Nothing; for insight. `unconfirmed`: repeat the return, and see FlashsaleBrokerDown.",
    "flashsale_batch_orders": "1 means an idle gateway. Near 256, Redis is the bottleneck: run fewer gateways, or spread the shards over more Redis nodes.",
    "flashsale_script_seconds": "The time includes the fsync of Redis' append-only file. If it is high, check Redis' disk.",
    "flashsale_script_repeats": "If it rises: answers of Redis get lost. Check the network to Redis, and whether Redis restarted.",
    "flashsale_waiting_requests": "At FLASHSALE_WAITING_MAX, orders get 503 `overloaded`. Add gateways.",
    "flashsale_waiting_seconds": "Above three times FLASHSALE_REDIS_TIMEOUT_SECONDS, requests are stuck. `/healthz` then answers 503 and Kubernetes restarts the pod.",
    "flashsale_fenced_shards": "Not 0 for longer than a few seconds: recovery does not open Redis. The gateway's log event `fence.closed` and `/readyz` say why, the keeper's log what it waits for. See FlashsaleRecovering.",
    "flashsale_connections_ended": "If it rises: a client sends invalid requests, floods a connection, or does not read its answers. SECURITY.md lists what each can cost. Limit the client's address at the load balancer.",
    "flashsale_connections": "At FLASHSALE_CONNECTIONS_MAX, or near the limit of open files, new connections get 503. Add gateways, or raise both limits.",
    "flashsale_reads_refused": "If it rises: buyers read more than one gateway can answer. Orders go on. Put a cache in front of /sales (its Cache-Control allows one second), or add gateways.",
    "flashsale_connections_refused": "Not 0: a gateway reached the limit of `flashsale_connections`. Buyers who try again get through when others leave.",
    "flashsale_outbox_lag_seconds": "See FlashsaleOutboxLag. Above the configured limit, orders get 503.",
    "flashsale_outbox_entries": "It grows while RabbitMQ is away, and falls when the relay catches up.",
    "flashsale_published": "Compare with accepted orders: one entry contains up to 256 orders.",
    "flashsale_publish_failures": "If it rises: RabbitMQ refuses messages or is away. Its log gives the reason.",
    "flashsale_publish_seconds": "High: check disk and network of RabbitMQ. A quorum queue confirms after a majority has the message on disk.",
    "flashsale_outbox_rescued": "Normal after a crash: a gateway died, or an answer of Redis was lost. If it keeps rising, gateways cannot publish.",
    "flashsale_outbox_claimed": "Normal after a crash: a gateway stopped and left entries that it had claimed.",
    "flashsale_identity_mode": "`body` at 1 outside of a test: whoever reaches the gateway can be any buyer. Set `FLASHSALE_IDENTITY` (chart: `identity.modes`).",
    "flashsale_identity_refused": "`expired` grows with every crowd. `forged` and `bad_jwt` are attacks, or a backend with another key; `unknown_key` for more than a minute means that the provider publishes other keys than it signs with.",
    "flashsale_sessions": "`issued` falls and anything else rises: buyers get no buyer token. `unauthenticated`: see `flashsale_identity_refused`. `not_ready`: see `flashsale_jwks_age_seconds`. `too_many_forgeries`: somebody sends forged JWTs. `not_found`: `FLASHSALE_IDENTITY` lacks the mode `token`.",
    "flashsale_jwks_age_seconds": "Above an hour: see FlashsaleJwksOld. JWTs of the known keys are still accepted; those of a new key are not. +Inf: there are no keys, and every JWT that needs one gets 503.",
    "flashsale_jwks_reads": "`failed` grows: see `flashsale_jwks_age_seconds`.",
    "flashsale_refused_routes": "Not 0: a queue is full or has no leader. `route.refused` in the log names the route. The gateway pauses up to 10 s between two attempts; other routes go on.",
    "flashsale_broker_up": "0 on all gateways: see FlashsaleBrokerDown.",
    "flashsale_unrouted_kept": "0: see FlashsaleUnroutedLost.",
    "flashsale_redis_wrong_server": "Normal for seconds during a failover. If it keeps rising, REDIS_URL leads to a replica, or to a master that has lost its replicas.",
    "flashsale_redis_up": "0 on all gateways: see FlashsaleRedisDown. 0 on one: that gateway is cut off.",
    "flashsale_redis_durable_required": "0: FlashsaleRedisNotDurable does not fire for this gateway, and orders are accepted although Redis may lose them.",
    "flashsale_redis_durable": "0: see FlashsaleRedisNotDurable. The gateway's `/readyz` gives the reason.",
    "flashsale_sale_orders": "Demand for one sale, by outcome; for insight.",
    "flashsale_sale_imbalance_units": "It must always be 0. Otherwise see FlashsaleOversold: stop the sale and run `flashsale audit`.",
    "flashsale_sale_stock_units": "The merchant's view of a sale. `reserved` units wait for payment.",
    "flashsale_ledger_orders": "Changes of orders that reach the ledger; for insight.",
    "flashsale_ledger_messages": "Nothing; for insight.",
    "flashsale_database_up": "0: Postgres cannot be reached. The order-worker leaves messages in RabbitMQ until Postgres is back.",
    "flashsale_keeper_restocked_units": "Rises: gateways died, or could not reach Redis, between a return and putting its units on sale. The keeper did it; look why if it goes on.",
    "flashsale_ledger_late_entries": "Not 0: a gateway that was paused or cut off published what it held, after Redis had been rebuilt or opened without it. Its orders do not exist, and no buyer was told that they are paid; the log event `ledger.late` names them.",
    "flashsale_ledger_known_batches": "Normal after a crash: a message was delivered again, or two workers had it. If it keeps rising, messages arrive out of order and cost Postgres time.",
    "flashsale_ledger_commit_seconds": "High: check Postgres' disk.",
    "flashsale_ledger_lag_seconds": "See FlashsaleLedgerLag. Add order-workers, or check the commit time.",
    "flashsale_refunds_due": "Pay the refunds: `flashsale refunds list` prints them.",
    "flashsale_refunds_failed": "Not 0: see FlashsaleRefundsFailed.",
    "flashsale_refunds_oldest_seconds": "See FlashsaleRefundsStuck.",
    "flashsale_refunds_reported": "Return each order, or leave it as paid: `flashsale refunds reported` prints them.",
    "flashsale_refunds_reported_oldest_seconds": "See FlashsaleRefundsReported.",
    "flashsale_ledger_api_requests": "Codes 5xx: Postgres is away or slow; the log event `request.failed` has what is a fault of the service. For insight otherwise.",
    "flashsale_ledger_api_request_seconds": "High: check Postgres.",
    "flashsale_ledger_api_database_up": "0: Postgres cannot be reached. No sale is affected; `/readyz` gives the reason.",
    "flashsale_removed_sales": "For insight. It rises when closed and ended sales are older than FLASHSALE_SALE_RETENTION_SECONDS.",
    "flashsale_expired_orders": "`sweep` far above `queue`: the wait queues do not work, see FlashsaleWaitLost.",
    "flashsale_expired_units": "Units that can be ordered again; for insight.",
    "flashsale_shop_events": "Nothing; for insight.",
    "flashsale_webhook_attempts": "`due` and `failed` rise: the endpoint refuses events. `flashsale webhook list` shows its last answer.",
    "flashsale_webhook_attempt_seconds": "Near 15 s: the endpoint answers too late. It should store the event, answer, and work afterwards.",
    "flashsale_webhook_delivery_seconds": "The median stays below 1 s while an endpoint works.",
    "flashsale_webhook_deliveries_due": "It grows while an endpoint is away, and falls afterwards.",
    "flashsale_webhook_oldest_seconds": "Above five minutes: see FlashsaleWebhooksLate.",
    "flashsale_webhook_endpoint_enabled": "0: nothing is sent until somebody enables the endpoint. See FlashsaleWebhookDisabled. An endpoint that people have disabled has no such metric.",
    "flashsale_notifier_database_up": "0: the notifier's log gives the reason.",
    "flashsale_console_requests": "Codes 5xx: a store or the gateway was away; the page said so. 403 and 401 are people without the right or a session.",
    "flashsale_console_request_seconds": "Nearly all below 0.2 s. A sale's plots may take longer.",
    "flashsale_console_logins": "Many `refused` or `limited`: somebody guesses passwords, or a program uses an old one.",
    "flashsale_console_changes": "For insight; the ledger has every change that took effect, with who.",
    "flashsale_console_database_up": "0: the console's log gives the reason.",
    "flashsale_storefront_requests": "`503` rises: Redis is away or recovering (`flashsale_storefront_read_age_seconds`), or more sales are watched than FLASHSALE_STOREFRONT_SALES_MAX.",
    "flashsale_storefront_streams": "Near FLASHSALE_STOREFRONT_STREAMS_MAX times the replicas: further pages poll; add replicas.",
    "flashsale_storefront_streams_ended": "`address` rises: without FLASHSALE_STOREFRONT_TRUSTED_PROXIES all streams behind a load balancer count as one address. `slow`: clients that do not read.",
    "flashsale_storefront_events": "For insight: the work of a storefront is this rate and that of its requests.",
    "flashsale_storefront_connections_ended": "`full`: add replicas. The others are clients that misbehave, and are ended so that they cost nothing.",
    "flashsale_storefront_sales": "At FLASHSALE_STOREFRONT_SALES_MAX, sales that nobody has asked for give their places to others.",
    "flashsale_storefront_read_seconds": "Near FLASHSALE_REDIS_TIMEOUT_SECONDS: Redis or the network is slow, and pages show `recovering`.",
    "flashsale_storefront_read_age_seconds": "Above FLASHSALE_STOREFRONT_STALE_SECONDS: pages show `recovering` and no numbers. `/readyz` gives the reason.",
    "flashsale_keeper_active": "The sum over the keepers is 1. At 0, nobody reopens a Redis that is restarted: see FlashsaleKeeperDown.",
    "flashsale_shard_open": "At 0, orders of the shard's sales get 503 `recovering`. The keeper's `/readyz` names the reason.",
    "flashsale_shard_incarnation": "If it rises, look at `flashsale_rebuilds_total` (Redis had lost writes) and `flashsale_reopens_total` (somebody could not be asked).",
    "flashsale_recovering_seconds": "Above a minute: the keeper waits for somebody, or a rebuild takes long. Its `/readyz` names the reason. See FlashsaleRecovering.",
    "flashsale_reseals": "Nothing: Redis was restarted, or another server was promoted, and nothing was lost.",
    "flashsale_reopens": "If it rises: Redis was restarted while gateways, RabbitMQ or the order-workers were away. What they knew beyond Redis is counted as late when it arrives.",
    "flashsale_rebuilds": "Not 0: a Redis had lost writes. Look for the lost disk, the old volume or the failover without all writes.",
    "flashsale_rebuild_failures": "If it rises without `flashsale_rebuilds`: a rebuild cannot be completed. The log event `recovery.interrupted` has the reason.",
    "flashsale_lately_lost_entries": "Not 0: see FlashsaleEntriesLost. A keeper that was replaced meanwhile shows it as well.",
    "flashsale_lost_entries": "Not 0: what these entries contained is lost; the log event `shards.rebuilt` and the ledger's table `shards` have the number. See FlashsaleEntriesLost.",
    "flashsale_expiry_lateness_seconds": "p99 above 5 s: see FlashsaleExpiryLate. Add timeout-workers.",
    "flashsale_sweep_seconds": "Above the sweep interval (0.5 s), the sweeper cannot keep up. Check Redis.",
    "flashsale_sweep_failures": "If it rises: Redis is away.",
    "flashsale_sweep_refused_orders": "Not 0: the data of a sale is broken. Run `flashsale audit`.",
    "flashsale_early_orders": "If it rises: a clock of Redis or the broker was set back. These holds are queued again and end by Redis' clock.",
    "flashsale_wait_up": "0: see FlashsaleWaitLost.",
    "flashsale_overdue_orders": "Above 0: see FlashsaleOverdueOrders.",
    "flashsale_consumed": "Nothing; for insight.",
    "flashsale_redelivered": "Normal when a worker ends with messages in hand, or when its store was away for long. Redelivery alone never parks a message.",
    "flashsale_batches": "Nothing; for insight.",
    "flashsale_batch_messages": "Near 1 under load, the worker is faster than its queue fills.",
    "flashsale_batch_seconds": "High: check Postgres (order-worker) or Redis (timeout-worker).",
    "flashsale_batch_retries": "If it rises: Postgres or Redis is away. The worker keeps the batch and tries again.",
    "flashsale_parked": "If it rises: messages are being parked, and the label `reason` gives the reason. See FlashsaleParkedMessages.",
    "flashsale_parked_messages": "Above 0: see FlashsaleParkedMessages, also for the queue `unrouted`, which an order-worker reports. `flashsale parked list` shows the messages, those of `unrouted` with `--queue unrouted`.",
    "flashsale_consumer_up": "0 on all workers of a queue: see FlashsaleConsumerDown.",
    "flashsale_task_restarts": "Not 0: a fault of the service, which `task.ended` in the log explains. The service is not ready while the task is down.",
    "flashsale_operator_reconciles": "For insight. Outcome `RedisUnavailable` means that the operator could not reach Redis.",
    "flashsale_operator_reconcile_seconds": "High: Redis is slow for the operator.",
    "flashsale_operator_reconcile_errors": "If it rises: Redis is away. Check whether orders are affected.",
    "flashsale_operator_objects": "`Stalled` above 0: see FlashsaleStalled.",
    "flashsale_operator_object_condition": "`Stalled` is 1: see FlashsaleStalled; the label `reason` says what to do.",
    "flashsale_operator_object_start_timestamp_seconds": "Compare with `time()`: docs/examples/keda/before-start.yaml adds gateways before a sale starts.",
    "flashsale_operator_objects_omitted": "Not 0: the FlashSales with their own series are those that are not Ready, then those that start next.",
    "flashsale_operator_next_start_seconds": "Add gateways in time, or let KEDA do it: docs/examples/keda/before-start.yaml.",
    "flashsale_operator_lost_namespaces": "Not 0: see FlashsaleNamespaceLost. The log event `namespace.lost` names them.",
    "flashsale_operator_deletions_without_redis": "Not 0: the Event `DeletedWithoutRedis` and the log event `deletion.without_redis` name the sale. "
    "If that Redis comes back, create a FlashSale of the same name to end its sale, or ignore it.",
    "flashsale_operator_events_dropped": "It rises when thousands of FlashSales change at once, which does no harm: their conditions say the same. "
    "Otherwise the log event `event.not_posted` gives the reason.",
    "flashsale_operator_last_reconcile_timestamp_seconds": "Older than two minutes: see FlashsaleOperatorSilent.",
}  # fmt: skip


def main() -> int:
    text = render()
    if "--check" in sys.argv:
        return int(not PAGE.exists() or PAGE.read_text() != text)
    PAGE.write_text(text)
    return 0


def render() -> str:
    """The page. Raises KeyError when a metric has no entry in ADVICE, or an entry has no metric."""
    lines, documented = [HEAD], set()
    for title, module in WHERE.items():
        lines.append(f"\n## {title}\n\n| metric | type | labels | unit | meaning | what to do |\n|---|---|---|---|---|---|")
        for metric in metrics(module):
            name = metric._name
            documented.add(name)
            exposed = f"{name}_total" if metric._type == "counter" else name
            labels = ", ".join(metric._labelnames) or "-"
            unit = next((unit for unit in UNITS if name.endswith(unit)), "count" if metric._type != "gauge" else "-")
            meaning = metric._documentation + (f"; buckets {_buckets(metric)}" if isinstance(metric, Histogram) else "")
            lines.append(f"| `{exposed}` | {metric._type} | {labels} | {unit} | {meaning} | {ADVICE[name]} |")
    if set(ADVICE) != documented:
        raise KeyError(f"no such metric: {sorted(set(ADVICE) - documented)}")
    return "\n".join(lines) + "\n"


def metrics(module: str) -> Iterator[MetricWrapperBase]:
    """The metrics that a module defines, in its order."""
    for value in vars(importlib.import_module(module)).values():
        if isinstance(value, MetricWrapperBase):
            yield value


def registered() -> set[str]:
    """Names of all metrics that importing the services registers, wherever they are defined."""
    for module in WHERE.values():
        importlib.import_module(module)
    names: dict[Any, Any] = REGISTRY._collector_to_names
    return {collector._name for collector in names if isinstance(collector, MetricWrapperBase)}


def _buckets(metric: Histogram) -> str:
    bounds = [bound for bound in metric._upper_bounds if bound != float("inf")]
    return f"{bounds[0]:g} to {bounds[-1]:g}"


if __name__ == "__main__":
    sys.exit(main())
