"""The numbers of the engine's dashboard, hop by hop. None is unknown: the service did not answer, or nothing was observed."""

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
    """By script, of those that ran."""
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
    """By queue, those of the timeout-worker among them."""
    lag_seconds: float | None
    commit_p99_seconds: float | None
    retries_per_second: float | None
    parked_per_second: float | None
    parked_total: float | None
    """Since the workers began; the rate of something rare is seen for one interval only."""
    refunds_due: float | None


@dataclass(frozen=True, slots=True)
class Expiry:
    expired_per_second: ByName | None
    """Orders, by the clock that was first."""
    lateness_p99_seconds: float | None
    overdue_orders: float | None


@dataclass(frozen=True, slots=True)
class Pipeline:
    admission: Admission
    outbox: Outbox
    ledger: Ledger
    expiry: Expiry


def pipeline(of: Changes) -> Pipeline:
    return Pipeline(_admission(of), _outbox(of), _ledger(of), _expiry(of))


def _admission(of: Changes) -> Admission:
    return Admission(
        orders_per_second=of.rates("flashsale_orders_total", "outcome"),
        order_p50_seconds=of.quantile(0.5, "flashsale_order_seconds"),
        order_p99_seconds=of.quantile(0.99, "flashsale_order_seconds"),
        batch_orders_mean=of.mean("flashsale_batch_orders"),
        script_p99_seconds=of.quantiles(0.99, "flashsale_script_seconds", "script"),
        waiting_requests=of.most("flashsale_waiting_requests"),
        payments_per_second=of.rates("flashsale_payments_total", "result"),
    )


def _outbox(of: Changes) -> Outbox:
    return Outbox(
        lag_seconds=of.most("flashsale_outbox_lag_seconds"),
        entries=of.most("flashsale_outbox_entries"),
        published_per_second=of.rate("flashsale_published_total"),
        failures_per_second=of.rate("flashsale_publish_failures_total"),
        publish_p99_seconds=of.quantile(0.99, "flashsale_publish_seconds"),
        broker_up=of.total("flashsale_broker_up"),
    )


def _ledger(of: Changes) -> Ledger:
    return Ledger(
        consumed_per_second=of.rates("flashsale_consumed_total", "queue"),
        lag_seconds=of.most("flashsale_ledger_lag_seconds"),
        commit_p99_seconds=of.quantile(0.99, "flashsale_ledger_commit_seconds"),
        retries_per_second=of.rate("flashsale_batch_retries_total"),
        parked_per_second=of.rate("flashsale_parked_total"),
        parked_total=of.total("flashsale_parked_total"),
        refunds_due=of.most("flashsale_refunds_due"),
    )


def _expiry(of: Changes) -> Expiry:
    return Expiry(
        expired_per_second=of.rates("flashsale_expired_orders_total", "source"),
        lateness_p99_seconds=of.quantile(0.99, "flashsale_expiry_lateness_seconds"),
        overdue_orders=of.most("flashsale_overdue_orders"),
    )
