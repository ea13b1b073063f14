"""Everything one screen says, decided from readings."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from flashsale_cli.top.changes import Changes
from flashsale_cli.top.faults import faults
from flashsale_cli.top.pipeline import Pipeline, pipeline
from flashsale_cli.top.reading import Reading, Scrape, change, changes
from flashsale_cli.top.sale_now import SaleNow, sales_now

SALES_MAX = 20
"""Rows, at most."""


@dataclass(frozen=True, slots=True)
class ServiceNow:
    name: str
    address: str
    answers: bool
    reason: str
    """Why it does not answer."""
    cpu_cores: float | None
    memory_bytes: float | None


@dataclass(frozen=True, slots=True)
class Frame:
    at: datetime
    seconds: float
    """Since the reading before; 0 for the first, which knows no rates."""
    services: Sequence[ServiceNow]
    faults: Sequence[str]
    sales: Sequence[SaleNow]
    """The busiest first."""
    sales_hidden: int
    """Read, but not among the rows."""
    more_sales: bool
    """There are sales that were not read."""
    sales_reason: str
    """Why the sales are not known."""
    pipeline: Pipeline


def frame(earlier: Sequence[Reading], now: Reading) -> Frame:
    """`earlier` are the readings before, oldest first; rates are since the last of them."""
    before = earlier[-1] if earlier else None
    all_changes = changes(before, now)
    rows = sales_now(earlier, now, all_changes)
    return Frame(
        at=datetime.fromtimestamp(now.at_unix_seconds, UTC),
        seconds=now.at_seconds - before.at_seconds if before else 0.0,
        services=_services(before, now),
        faults=faults(all_changes),
        sales=rows[:SALES_MAX],
        sales_hidden=max(0, len(rows) - SALES_MAX),
        more_sales=now.more_sales,
        sales_reason=str(now.sales_error or ""),
        pipeline=pipeline(all_changes),
    )


def to_json(shown: Frame) -> dict[str, Any]:
    return asdict(shown) | {"at": shown.at.isoformat(timespec="milliseconds")}


def _services(before: Reading | None, now: Reading) -> list[ServiceNow]:
    earlier = {scrape.target: scrape for scrape in before.scrapes} if before else {}
    return [_service(earlier.get(scrape.target), scrape) for scrape in now.scrapes]


def _service(before: Scrape | None, now: Scrape) -> ServiceNow:
    one = change(before, now)
    own = Changes([one] if one else [])
    return ServiceNow(
        name=now.name,
        address=urlsplit(now.target.url).netloc,
        answers=one is not None,
        reason=now.reason,
        cpu_cores=own.rate("process_cpu_seconds_total"),
        memory_bytes=own.most("process_resident_memory_bytes"),
    )
