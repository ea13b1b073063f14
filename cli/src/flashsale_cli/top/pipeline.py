"""The numbers of the engine's dashboard, hop by hop. None means unknown: the service did not answer, or nothing was observed."""

from collections.abc import Mapping
from dataclasses import dataclass

from flashsale_cli.top.changes import Changes

ByName = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Admission:
    orders_per_second: ByName | None
    """By outcome."""
    order_p50_seconds: float | None
    order_p99_seconds: float | None
    batch_orders_mean: float | None
    script_p99_seconds: ByName
    """By script; scripts that did not run are left out."""
    waiting_requests: float | None
    payments_per_second: ByName | None
    """By result."""


@dataclass(frozen=True, slots=True)
class Outbox:
    lag_seconds: float | None
    entries: float | None
    published_per_second: float | None
    failures_per_second: float | None
    publish_p99_seconds: float | None
    broker_up: float | None
    """Gateways with a channel to the broker."""


@dataclass(frozen=True, slots=True)
class Ledger:
    consumed_per_second: ByName | None
    """By queue, including the queue of the timeout-worker."""
    lag_seconds: float | None
    commit_p99_seconds: float | None
    retries_per_second: float | None
    parked_per_second: float | None
    parked_total: float | None
    """Since the start of the workers, because the rate of a rare event is visible for only one interval."""
    refunds_due: float | None


@dataclass(frozen=True, slots=True)
class Expiry:
    expired_per_second: ByName | None
    """Expired orders, by what expired them: `queue` or `sweep`."""
    lateness_p99_seconds: float | None
    overdue_orders: float | None


@dataclass(frozen=True, slots=True)
class Pipeline:
    admission: Admission
    outbox: Outbox
    ledger: Ledger
    expiry: Expiry


def pipeline(changes: Changes) -> Pipeline:
    return Pipeline(_admission(changes), _outbox(changes), _ledger(changes), _expiry(changes))


def _admission(changes: Changes) -> Admission:
    return Admission(
        orders_per_second=changes.rates("flashsale_orders_total", "outcome"),
        order_p50_seconds=changes.quantile(0.5, "flashsale_order_seconds"),
        order_p99_seconds=changes.quantile(0.99, "flashsale_order_seconds"),
        batch_orders_mean=changes.mean("flashsale_batch_orders"),
        script_p99_seconds=changes.quantiles(0.99, "flashsale_script_seconds", "script"),
        waiting_requests=changes.most("flashsale_waiting_requests"),
        payments_per_second=changes.rates("flashsale_payments_total", "result"),
    )


def _outbox(changes: Changes) -> Outbox:
    return Outbox(
        lag_seconds=changes.most("flashsale_outbox_lag_seconds"),
        entries=changes.most("flashsale_outbox_entries"),
        published_per_second=changes.rate("flashsale_published_total"),
        failures_per_second=changes.rate("flashsale_publish_failures_total"),
        publish_p99_seconds=changes.quantile(0.99, "flashsale_publish_seconds"),
        broker_up=changes.total("flashsale_broker_up"),
    )


def _ledger(changes: Changes) -> Ledger:
    return Ledger(
        consumed_per_second=changes.rates("flashsale_consumed_total", "queue"),
        lag_seconds=changes.most("flashsale_ledger_lag_seconds"),
        commit_p99_seconds=changes.quantile(0.99, "flashsale_ledger_commit_seconds"),
        retries_per_second=changes.rate("flashsale_batch_retries_total"),
        parked_per_second=changes.rate("flashsale_parked_total"),
        parked_total=changes.total("flashsale_parked_total"),
        refunds_due=changes.most("flashsale_refunds_due"),
    )


def _expiry(changes: Changes) -> Expiry:
    return Expiry(
        expired_per_second=changes.rates("flashsale_expired_orders_total", "source"),
        lateness_p99_seconds=changes.quantile(0.99, "flashsale_expiry_lateness_seconds"),
        overdue_orders=changes.most("flashsale_overdue_orders"),
    )
