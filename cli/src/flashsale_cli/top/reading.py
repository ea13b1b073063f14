"""What was read at one moment, as it came: sales, scrapes, and what did not answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flashsale_cli.sales_client import Sale
from flashsale_cli.top.changes import Change, Changes
from flashsale_cli.top.samples import Samples
from flashsale_core.errors import FlashsaleError

# A metric that only this service has.
_MARKS = {
    "gateway": "flashsale_broker_up",
    "order-worker": "flashsale_ledger_lag_seconds",
    "timeout-worker": "flashsale_overdue_orders",
    "operator": "flashsale_operator_objects",
}


@dataclass(frozen=True, slots=True)
class Target:
    """A service's /metrics. `name` is what is expected there, `url` where; each is empty when nobody said it."""

    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Scrape:
    """`at_seconds` is of a steady clock. `samples` is None when there was no answer, and `reason` says why."""

    target: Target
    at_seconds: float
    samples: Samples | None
    reason: str = ""

    @property
    def name(self) -> str:
        """The service that answered, else the one that was expected."""
        samples = self.samples or {}
        return next((service for service, mark in _MARKS.items() if mark in samples), self.target.name)


@dataclass(frozen=True, slots=True)
class Reading:
    at_seconds: float
    at_unix_seconds: float
    sales: Mapping[str, Sale]
    scrapes: Sequence[Scrape]
    sales_error: FlashsaleError | None = None
    missing: Sequence[str] = ()
    """Sales that were asked for and are not there."""
    more_sales: bool = False
    """There are sales that were not read."""


def change(before: Scrape | None, now: Scrape) -> Change | None:
    """None when there was no answer."""
    if now.samples is None:
        return None
    return Change.between(before.samples if before else None, now.samples, now.at_seconds - before.at_seconds if before else 0.0)


def changes(before: Reading | None, now: Reading) -> Changes:
    """Of all services that answered."""
    earlier = {scrape.target: scrape for scrape in before.scrapes} if before else {}
    found = (change(earlier.get(scrape.target), scrape) for scrape in now.scrapes)
    return Changes([one for one in found if one is not None])
