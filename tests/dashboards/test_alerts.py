"""Every alert fires when it should and stays quiet when it should not. promtool runs the rules on invented series."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tools.dashboards.prometheus import promtool
from tools.repository import RULES

Series = dict[str, str]
"""Series -> values in promtool's notation, one a minute."""


class Case(NamedTuple):
    fires: Series
    at: str
    quiet: Series
    labels: dict[str, str] = {}  # noqa: RUF012 - never changed
    """Labels of the alert that fires, besides its severity."""


ORDERS = 'flashsale_orders_total{outcome="%s", pod="%s"}'
BUCKET, COUNT = 'flashsale_order_seconds_bucket{le="0.25"}', "flashsale_order_seconds_count"
LATE = 'flashsale_expiry_lateness_seconds_bucket{le="%s"}'
_OBJECT = 'resource_namespace="shop", flashsale="shoe"'
CASES = {
    "FlashsaleOversold": Case(
        {'flashsale_sale_imbalance_units{sale="shoe"}': "0 0 -1 -1", 'flashsale_sale_imbalance_units{sale="hat"}': "0x3"},
        "3m",
        {'flashsale_sale_imbalance_units{sale="shoe"}': "0x3", 'flashsale_sale_stock_units{sale="shoe", state="available"}': "0x3"},
        {"sale": "shoe"},
    ),
    "FlashsaleAuditDifference": Case(
        {'flashsale_audit_differences{kind="buyer_units"}': "0 0 2 2", 'flashsale_audit_differences{kind="overdue"}': "0x3"},
        "3m",
        {'flashsale_audit_differences{kind="buyer_units"}': "0x3"},
        {"kind": "buyer_units"},
    ),
    "FlashsaleAuditStopped": Case(
        {'flashsale_audit_running{pod="a"}': "1 1 0x20", 'flashsale_audit_running{pod="b"}': "0x22"},
        "15m",
        # The other keeper has taken over. A restart of Redis interrupts the audit for a moment.
        {'flashsale_audit_running{pod="a"}': "1 1 0x20", 'flashsale_audit_running{pod="b"}': "0 0 0 1 1 0 0 1x15"},
    ),
    "FlashsaleAuditSkipped": Case(
        {'flashsale_audit_skipped{pod="a"}': "0 3x25", 'flashsale_audit_running{pod="a"}': "1x26"},
        "20m",
        # A keeper that stands by shows its last audit for ever.
        {
            'flashsale_audit_skipped{pod="a"}': "3x26",
            'flashsale_audit_running{pod="a"}': "1 0x25",
            'flashsale_audit_skipped{pod="b"}': "0x26",
            'flashsale_audit_running{pod="b"}': "0 1x25",
        },
    ),
    "FlashsaleRecovering": Case(
        {'flashsale_fenced_shards{pod="a"}': "0 0 3x5", 'flashsale_fenced_shards{pod="b"}': "0x7"},
        "5m",
        # A restart, which is over before the second look.
        {"flashsale_fenced_shards": "0 0 16 0x5"},
    ),
    "FlashsaleEntriesLost": Case(
        # The keeper that counted them has been replaced since; the one that acts now reads them in the ledger.
        {'flashsale_lately_lost_entries{pod="a"}': "_ _ _ _ 7x20", 'flashsale_lost_entries_total{pod="a"}': "_ _ _ _ 0x20"},
        "20m",
        {"flashsale_lately_lost_entries": "0x20", "flashsale_lost_entries_total": "7x20"},
    ),
    "FlashsaleKeeperDown": Case(
        # Nobody else reports anything either.
        {'flashsale_keeper_active{pod="a"}': "1 1 stale", 'flashsale_keeper_active{pod="b"}': "0x9"},
        "8m",
        {'flashsale_keeper_active{pod="a"}': "0x9", 'flashsale_keeper_active{pod="b"}': "1x9"},
    ),
    "FlashsaleGatewayGone": Case(
        {'flashsale_broker_up{pod="a"}': "1 1 stale", 'flashsale_broker_up{pod="b"}': "1 stale"},
        "5m",
        # A rollout: the next pod reports before the last one ends. That the broker is away is another alert.
        {'flashsale_broker_up{pod="a"}': "1 1 1 stale", 'flashsale_broker_up{pod="b"}': "_ _ 0x5"},
    ),
    # It never reported anything.
    "FlashsaleOrderWorkerGone": Case(
        {"flashsale_broker_up": "1x9"}, "5m", {'flashsale_database_up{pod="a"}': "1 1 stale", 'flashsale_database_up{pod="b"}': "_ _ 0x9"}
    ),
    "FlashsaleTimeoutWorkerGone": Case({"flashsale_overdue_orders": "0 0 stale"}, "8m", {"flashsale_overdue_orders": "0 0 _ 0x9"}),
    "FlashsaleOperatorGone": Case(
        {"flashsale_operator_last_reconcile_timestamp_seconds": "0 60 stale"},
        "9m",
        # Its only pod was replaced.
        {
            'flashsale_operator_last_reconcile_timestamp_seconds{pod="a"}': "0 60 stale",
            'flashsale_operator_last_reconcile_timestamp_seconds{pod="b"}': "_ _ _ _ 240x9",
        },
    ),
    # Its only pod was replaced. That Postgres is away is in its readiness.
    "FlashsaleLedgerApiGone": Case(
        {'flashsale_ledger_api_database_up{pod="a"}': "1 1 stale"},
        "9m",
        {'flashsale_ledger_api_database_up{pod="a"}': "1 1 stale", 'flashsale_ledger_api_database_up{pod="b"}': "_ _ _ _ 0x9"},
    ),
    # It never reported anything.
    "FlashsaleNotifierGone": Case({"flashsale_broker_up": "1x9"}, "6m", {"flashsale_notifier_database_up": "0x9"}),
    "FlashsaleStorefrontGone": Case(
        {'flashsale_storefront_sales{pod="a"}': "1 1 stale"},
        "4m",
        {'flashsale_storefront_sales{pod="a"}': "1 1 stale", 'flashsale_storefront_sales{pod="b"}': "_ _ 0x9"},
    ),
    "FlashsaleStorefrontOutdated": Case(
        {
            'flashsale_storefront_read_age_seconds{pod="a"}': "1 1 60 120 180",
            'flashsale_storefront_read_age_seconds{pod="b"}': "1 1 50 110 170",
        },
        "4m",
        # One cannot, and the other answers. A restart of Redis passes.
        {
            'flashsale_storefront_read_age_seconds{pod="a"}': "1 1 60 120 180 1 1 30 1",
            'flashsale_storefront_read_age_seconds{pod="b"}': "1 1 1 1 1 1 1 30 1",
        },
    ),
    "FlashsaleConsoleGone": Case({"flashsale_broker_up": "1x9"}, "6m", {"flashsale_console_database_up": "0x9"}),
    "FlashsaleGatewayReplicaMissing": Case(
        {'flashsale_broker_up{pod="a"}': "1x9", 'flashsale_broker_up{pod="b"}': "1 stale"},
        "8m",
        # Its pod was replaced. That the broker is away is another alert.
        {'flashsale_broker_up{pod="a"}': "0x9", 'flashsale_broker_up{pod="b"}': "0 stale", 'flashsale_broker_up{pod="c"}': "_ _ _ 0x6"},
    ),
    "FlashsaleOrderWorkerReplicaMissing": Case(
        {"flashsale_database_up": "1x9"}, "8m", {'flashsale_database_up{pod="a"}': "0x9", 'flashsale_database_up{pod="b"}': "0x9"}
    ),
    "FlashsaleKeeperReplicaMissing": Case(
        {"flashsale_keeper_active": "1x9"}, "8m", {'flashsale_keeper_active{pod="a"}': "1x9", 'flashsale_keeper_active{pod="b"}': "0x9"}
    ),
    "FlashsaleErrorBudgetBurn": Case(
        {ORDERS % ("accepted", "a"): "0+900x70", ORDERS % ("overloaded", "b"): "0+100x70"},
        "70m",
        # One failure in ten thousand. Orders refused because nothing is left, or for forged JWTs, do not count, however many.
        {
            ORDERS % ("accepted", "a"): "0+9999x70",
            ORDERS % ("internal", "b"): "0+1x70",
            ORDERS % ("out_of_stock", "a"): "0+90000x70",
            ORDERS % ("too_many_forgeries", "a"): "0+90000x70",
        },
    ),
    "FlashsaleLatencyBudgetBurn": Case({BUCKET: "0+80x70", COUNT: "0+100x70"}, "70m", {BUCKET: "0+995x70", COUNT: "0+1000x70"}),
    "FlashsaleRedisDown": Case(
        {'flashsale_redis_up{pod="a"}': "1 0x5", 'flashsale_redis_up{pod="b"}': "1 0x5"},
        "5m",
        # A gateway that is cut off from Redis, and one that has just started.
        {'flashsale_redis_up{pod="a"}': "1x6", 'flashsale_redis_up{pod="b"}': "0x6"},
    ),
    "FlashsaleRedisNotDurable": Case(
        # A gateway of an earlier release, which does not report what it requires.
        {'flashsale_redis_durable{pod="a"}': "1 0x5", 'flashsale_redis_durable{pod="b"}': "1x6"},
        "5m",
        # The second one started while Redis was away. Nobody wants the third one to judge.
        {
            'flashsale_redis_durable{pod="a"}': "1x6",
            'flashsale_redis_durable{pod="b"}': "NaN NaN NaN NaN NaN NaN NaN",
            'flashsale_redis_durable{pod="c"}': "0x6",
            'flashsale_redis_durable_required{pod="b"}': "1x6",
            'flashsale_redis_durable_required{pod="c"}': "0x6",
        },
    ),
    "FlashsaleBrokerDown": Case(
        {'flashsale_broker_up{pod="a"}': "0x6", 'flashsale_broker_up{pod="b"}': "0x6"},
        "5m",
        {'flashsale_broker_up{pod="a"}': "0x6", 'flashsale_broker_up{pod="b"}': "1x6"},
    ),
    "FlashsaleOutboxLag": Case({"flashsale_outbox_lag_seconds": "0 31x5"}, "5m", {"flashsale_outbox_lag_seconds": "0 29x5"}),
    "FlashsaleUnroutedLost": Case(
        {"flashsale_unrouted_kept": "0x6", "flashsale_broker_up": "1x6"},
        "5m",
        # Without a channel to the broker nobody can ask, and another alert fires.
        {"flashsale_unrouted_kept": "0x6", "flashsale_broker_up": "0x6"},
    ),
    "FlashsaleConsumerDown": Case(
        {'flashsale_consumer_up{queue="orders"}': "0x6", 'flashsale_consumer_up{queue="payment.timeout"}': "1x6"},
        "5m",
        {'flashsale_consumer_up{queue="orders", pod="a"}': "0x6", 'flashsale_consumer_up{queue="orders", pod="b"}': "1x6"},
        {"queue": "orders"},
    ),
    "FlashsaleParkedMessages": Case(
        # Two workers report the same queue. The alert stays until somebody empties it, however long ago the worker parked.
        {
            'flashsale_parked_messages{queue="orders.parked", pod="a"}': "7x10",
            'flashsale_parked_messages{queue="orders.parked", pod="b"}': "7x10",
        },
        "5m",
        {
            'flashsale_parked_messages{queue="orders.parked"}': "7 7 0x8",
            'flashsale_parked_total{queue="orders", reason="rejected"}': "7x10",
        },
        {"queue": "orders.parked"},
    ),
    "FlashsaleLedgerLag": Case(
        {"flashsale_ledger_lag_seconds": "61x9", 'flashsale_batches_total{queue="orders"}': "0+10x9"},
        "8m",
        # The last batch was late an hour ago: a gauge keeps its value.
        {"flashsale_ledger_lag_seconds": "61x9", 'flashsale_batches_total{queue="orders"}': "10x9"},
    ),
    "FlashsaleLedgerStuck": Case(
        # Two workers consume, and the database refuses both.
        {'flashsale_database_up{pod="a"}': "1 0x9", 'flashsale_database_up{pod="b"}': "1 0x9"},
        "6m",
        # One of them still reaches it; the gateways are idle.
        {
            'flashsale_database_up{pod="a"}': "0x9",
            'flashsale_database_up{pod="b"}': "1x9",
            "flashsale_published_total": "500x9",
            "flashsale_ledger_commit_seconds_count": "70x9",
        },
    ),
    "FlashsaleRefundsStuck": Case(
        {"flashsale_refunds_oldest_seconds": "86401x20"}, "15m", {"flashsale_refunds_oldest_seconds": "86000x20"}
    ),
    "FlashsaleRefundsFailed": Case({"flashsale_refunds_failed": "1x20"}, "15m", {"flashsale_refunds_failed": "0x20"}),
    "FlashsaleRefundsReported": Case(
        {"flashsale_refunds_reported_oldest_seconds": "86401x20"}, "15m", {"flashsale_refunds_reported_oldest_seconds": "86000x20"}
    ),
    "FlashsaleWrongAmounts": Case(
        # A single one is enough, because the gateway shows 0 before it.
        {'flashsale_payments_total{result="wrong_amount"}': "0 0 1x20"},
        "9m",
        {'flashsale_payments_total{result="refund_due"}': "0+1x20", 'flashsale_payments_total{result="wrong_amount"}': "5x20"},
    ),
    "FlashsaleExpiryLate": Case(
        {LATE % "5": "0+90x10", LATE % "10": "0+100x10", LATE % "+Inf": "0+100x10"},
        "9m",
        {LATE % "5": "0+100x10", LATE % "10": "0+100x10", LATE % "+Inf": "0+100x10"},
    ),
    "FlashsaleOverdueOrders": Case({"flashsale_overdue_orders": "0 5x5"}, "5m", {"flashsale_overdue_orders": "0 5 0 5 0 5"}),
    "FlashsaleWaitLost": Case(
        {'flashsale_wait_up{window="15"}': "1 0x5", 'flashsale_wait_up{window="60"}': "1x6"},
        "5m",
        {'flashsale_wait_up{window="15"}': "1x6"},
        {"window": "15"},
    ),
    "FlashsaleOperatorSilent": Case(
        {"flashsale_operator_last_reconcile_timestamp_seconds": "0x10", 'flashsale_operator_objects{phase="Live"}': "1x10"},
        "9m",
        # Nothing to reconcile.
        {"flashsale_operator_last_reconcile_timestamp_seconds": "0x10", 'flashsale_operator_objects{phase="Live"}': "0x10"},
    ),
    "FlashsaleNamespaceLost": Case(
        {"flashsale_operator_lost_namespaces": "0 1x9"},
        "9m",
        # Its Role was restored.
        {"flashsale_operator_lost_namespaces": "0 1 1 0x7"},
    ),
    "FlashsaleStalled": Case(
        {f'flashsale_operator_object_condition{{condition="Stalled", reason="NotOwner", {_OBJECT}}}': "1x6"},
        "5m",
        {
            f'flashsale_operator_object_condition{{condition="Stalled", reason="Progressing", {_OBJECT}}}': "0x6",
            f'flashsale_operator_object_condition{{condition="Stalled", reason="Recovering", {_OBJECT}}}': "1x6",
            f'flashsale_operator_object_condition{{condition="Ready", reason="Reconciled", {_OBJECT}}}': "1x6",
        },
        {"resource_namespace": "shop", "flashsale": "shoe", "reason": "NotOwner"},
    ),
    "FlashsaleWebhooksLate": Case(
        # Two notifiers measure the same deliveries.
        {
            'flashsale_webhook_oldest_seconds{endpoint="shop", pod="a"}': "0+60x20",
            'flashsale_webhook_oldest_seconds{endpoint="shop", pod="b"}': "0+60x20",
            'flashsale_webhook_oldest_seconds{endpoint="crm", pod="a"}': "0x20",
        },
        "15m",
        # Two attempts failed, and the third one, after five minutes, did not.
        {'flashsale_webhook_oldest_seconds{endpoint="shop"}': "0 60 120 180 240 305 360 0x13"},
        {"endpoint": "shop"},
    ),
    "FlashsaleWebhookDisabled": Case(
        {'flashsale_webhook_endpoint_enabled{endpoint="shop"}': "1 1 0x5", 'flashsale_webhook_endpoint_enabled{endpoint="crm"}': "1x7"},
        "5m",
        # People have disabled it: the notifier no longer reports it.
        {'flashsale_webhook_endpoint_enabled{endpoint="shop"}': "1 1 stale", 'flashsale_webhook_endpoint_enabled{endpoint="crm"}': "1x7"},
        {"endpoint": "shop"},
    ),
    "FlashsaleJwksOld": Case(
        {'flashsale_jwks_age_seconds{pod="a"}': "3300+60x20", 'flashsale_jwks_age_seconds{pod="b"}': "0+60x20"},
        "15m",
        # It is 0 in a shop without an identity provider. Here the keys were read again after an hour.
        {'flashsale_jwks_age_seconds{pod="a"}': "3300+60x7 0+60x12", 'flashsale_jwks_age_seconds{pod="b"}': "0x20"},
    ),
}
MORE: tuple[tuple[str, Case], ...] = (
    (
        "FlashsaleLedgerStuck",
        Case(
            # Orders are published, and nothing is committed, although the last statement succeeded.
            {"flashsale_database_up": "1x9", "flashsale_published_total": "0+9x9", "flashsale_ledger_commit_seconds_count": "70x9"},
            "8m",
            # A first burst, whose commit is in the first sample of a new worker.
            {
                "flashsale_published_total": "0 0 9x9",
                "flashsale_ledger_commit_seconds_count": "_ _ 1x9",
                "flashsale_database_up": "_ _ 1x9",
            },
        ),
    ),
    # A gateway that has never read the keys refuses every JWT; its hour is not waited for. A new gateway reads them within minutes.
    (
        "FlashsaleJwksOld",
        Case(
            {'flashsale_jwks_age_seconds{pod="a"}': " ".join(["Inf"] * 8), 'flashsale_jwks_age_seconds{pod="b"}': "0x7"},
            "6m",
            {'flashsale_jwks_age_seconds{pod="a"}': "Inf Inf Inf 0 60 120 180 240", 'flashsale_jwks_age_seconds{pod="b"}': "0x7"},
        ),
    ),
    # No order-worker at all.
    ("FlashsaleLedgerStuck", Case({"flashsale_published_total": "0+9x9"}, "8m", {"flashsale_published_total": "9x9"})),
)
"""Further cases of rules that fire for several reasons."""
ALERTS = {rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}


def test_every_alert_has_a_case() -> None:
    assert list(CASES) == list(ALERTS)


@pytest.mark.parametrize(("name", "case"), [*CASES.items(), *MORE])
def test_alert_fires_and_stays_quiet(name: str, case: Case, tmp_path: Path) -> None:
    rule = ALERTS[name]
    labels = rule["labels"] | case.labels
    summary = re.sub(r"{{ \$labels\.(\w+) }}", lambda match: case.labels[match[1]], rule["annotations"]["summary"])
    expected = [{"exp_labels": labels, "exp_annotations": {"summary": summary}}]

    def test(series: Series, alerts: list[Any]) -> dict[str, Any]:
        inputs = [{"series": name_of_series, "values": values} for name_of_series, values in series.items()]
        return {
            "interval": "1m",
            "input_series": inputs,
            "alert_rule_test": [{"alertname": name, "eval_time": case.at, "exp_alerts": alerts}],
        }

    file = tmp_path / "test.yaml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "tests": [test(case.fires, expected), test(case.quiet, [])]}))
    status, text = promtool("test", "rules", file)
    assert status == 0, text


def test_rule_file_is_well_formed() -> None:
    status, text = promtool("check", "rules", RULES)
    assert status == 0, text
