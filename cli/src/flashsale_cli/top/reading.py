"""What was read at one moment, unprocessed: sales, the services' samples, and which services did not answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from flashsale_cli.sales_client import Sale
from flashsale_core.errors import FlashsaleError

Labels = tuple[tuple[str, str], ...]
"""Sorted, so that the same labels are the same key."""
Samples = Mapping[str, Mapping[Labels, float]]
"""Sample name -> labels -> value. A metric that has counted nothing yet has its name and no series: that means 0, not unknown."""

SALE_ORDERS = "flashsale_sale_orders_total"
OTHER_SALES = "_other"
"""The label of all sales that a gateway has no label for."""
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
_STARTED = "process_start_time_seconds"
# A metric that only this service has.
_MARKS = {
    "gateway": "flashsale_broker_up",
    "order-worker": "flashsale_ledger_lag_seconds",
    "timeout-worker": "flashsale_overdue_orders",
    "operator": "flashsale_operator_objects",
}


@dataclass(frozen=True, slots=True)
class Target:
    """The /metrics of a service. `name` is the service expected there, `url` its address; each may be empty for unknown."""

    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Scrape:
    """`at_seconds` is from a monotonic clock. `samples` is None if there was no answer, and `reason` is the cause."""

    target: Target
    at_seconds: float
    samples: Samples | None
    reason: str = ""

    @property
    def name(self) -> str:
        """The service that answered; the expected one if nothing did."""
        samples = self.samples or {}
        return next((service for service, mark in _MARKS.items() if mark in samples), self.target.name)


@dataclass(frozen=True, slots=True)
class Reading:
    at_seconds: float
    """From a monotonic clock."""
    at_unix_seconds: float
    sales: Mapping[str, Sale]
    scrapes: Sequence[Scrape]
    sales_error: FlashsaleError | None = None
    missing: Sequence[str] = ()
    """Sales that were asked for and do not exist."""
    more_sales: bool = False
    """There are sales that were not read."""


def last_answers(readings: Sequence[Reading]) -> dict[Target, Scrape]:
    """The last scrape of each target that was answered; `readings` are the oldest first."""
    return {scrape.target: scrape for reading in readings for scrape in reading.scrapes if scrape.samples is not None}


def parse_samples(text: str) -> Samples:
    """Raises ValueError if `text` is not in Prometheus' text format."""
    samples: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        for suffix in _SUFFIXES.get(family.type, ("",)):
            samples.setdefault(family.name + suffix, {})
        for sample in family.samples:
            samples.setdefault(sample.name, {})[labels_of(sample.labels)] = float(sample.value)
    return samples


def labels_of(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items()))


def started_at(samples: Samples) -> float | None:
    """Unix time at which the process started, which distinguishes it from its predecessor. None on systems that do not report it."""
    return samples.get(_STARTED, {}).get(())
