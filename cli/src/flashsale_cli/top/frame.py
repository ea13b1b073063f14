"""Everything that one screen shows, decided from readings. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from flashsale_cli.sales_client import Sale
from flashsale_cli.top.changes import Changes, change_of, changes_of
from flashsale_cli.top.faults import faults
from flashsale_cli.top.pipeline import Pipeline, pipeline
from flashsale_cli.top.reading import OTHER_SALES, SALE_ORDERS, Reading, Scrape, last_answers

SALES_MAX = 20
"""Most rows of sales."""


@dataclass(frozen=True, slots=True)
class ServiceNow:
    name: str
    address: str
    answers: bool
    reason: str
    """Why it does not answer; empty if it does."""
    cpu_cores: float | None
    memory_bytes: float | None
    seconds: float | None
    """The time that its rates cover. None if it has none: it did not answer, or was not read earlier."""


@dataclass(frozen=True, slots=True)
class SaleNow:
    """The stock that the gateway reports, and the orders that the gateways counted."""

    product_id: str
    state: str
    stock: int
    available: int
    reserved: int
    sold: int
    demand_per_second: Mapping[str, float] | None
    """Orders, by outcome. None if no gateway reports them, or if the sale is counted among others."""
    sold_out_share: float | None
    """The share of orders that were refused because the sale was sold out. None without orders."""
    sold_out_in_seconds: float | None
    """None if nothing is being sold or nothing is left."""
    moved_units: int
    """Units that changed between available, reserved and sold since the previous reading."""


@dataclass(frozen=True, slots=True)
class Frame:
    at: datetime
    seconds: float
    """Since the previous reading; 0 for the first reading, which has no rates."""
    services: Sequence[ServiceNow]
    faults: Sequence[str]
    sales: Sequence[SaleNow]
    """The busiest first."""
    sales_hidden: int
    """Sales that were read and have no row."""
    more_sales: bool
    """There are sales that were not read."""
    sales_reason: str
    """Why the sales could not be read; empty if they were."""
    pipeline: Pipeline


def frame(earlier: Sequence[Reading], now: Reading) -> Frame:
    """`earlier` are the previous readings, oldest first. The rates of a service are since the last of them that it answered."""
    before = earlier[-1] if earlier else None
    answers = last_answers(earlier)
    changes = changes_of(answers, now)
    rows = sales_now(earlier, now, changes)
    return Frame(
        at=datetime.fromtimestamp(now.at_unix_seconds, UTC),
        seconds=now.at_seconds - before.at_seconds if before else 0.0,
        services=[_service(answers.get(scrape.target), scrape) for scrape in now.scrapes],
        faults=faults(changes),
        sales=rows[:SALES_MAX],
        sales_hidden=max(0, len(rows) - SALES_MAX),
        more_sales=now.more_sales,
        sales_reason=str(now.sales_error or ""),
        pipeline=pipeline(changes),
    )


def to_json(frame: Frame) -> dict[str, Any]:
    return asdict(frame) | {"at": frame.at.isoformat(timespec="milliseconds")}


def _service(before: Scrape | None, now: Scrape) -> ServiceNow:
    change = change_of(before, now)
    own = Changes([change] if change else [])
    return ServiceNow(
        name=now.name,
        address=urlsplit(now.target.url).netloc,
        answers=change is not None,
        reason=now.reason,
        cpu_cores=own.rate("process_cpu_seconds_total"),
        memory_bytes=own.most("process_resident_memory_bytes"),
        seconds=change.seconds if change and change.before is not None else None,
    )


def sales_now(earlier: Sequence[Reading], now: Reading, changes: Changes) -> list[SaleNow]:
    """The busiest first. The speed of selling is measured over `earlier`, oldest first."""
    rows = (_sale_now(sale, earlier, now, changes) for sale in now.sales.values())
    return sorted(rows, key=_activity)


def _activity(row: SaleNow) -> tuple[float, int, str]:
    return -sum((row.demand_per_second or {}).values()), -row.moved_units, row.product_id


def _sale_now(sale: Sale, earlier: Sequence[Reading], now: Reading, changes: Changes) -> SaleNow:
    name = sale["productId"]
    demand = _demand(name, changes)
    return SaleNow(
        product_id=name,
        state=sale["state"],
        stock=sale["stock"],
        available=sale["available"],
        reserved=sale["reserved"],
        sold=sale["sold"],
        demand_per_second=demand,
        sold_out_share=_share(demand, "out_of_stock"),
        sold_out_in_seconds=_sold_out_in_seconds(sale, earlier, now),
        moved_units=_moved_units(earlier[-1].sales.get(name) if earlier else None, sale),
    )


def _demand(sale_id: str, changes: Changes) -> Mapping[str, float] | None:
    by_sale = changes.rates(SALE_ORDERS, "sale")
    if by_sale is None or (sale_id not in by_sale and _sales_share_a_label(changes)):
        return None
    return changes.rates(SALE_ORDERS, "outcome", sale=sale_id)


def _sales_share_a_label(changes: Changes) -> bool:
    """Whether the label for other sales counts real sales, not only names that no sale has."""
    return bool(set(changes.rates(SALE_ORDERS, "outcome", sale=OTHER_SALES) or ()) - {"unknown_sale"})


def _share(rates: Mapping[str, float] | None, outcome: str) -> float | None:
    total = sum(rates.values()) if rates else 0.0
    return rates.get(outcome, 0.0) / total if rates and total else None


def _sold_out_in_seconds(sale: Sale, earlier: Sequence[Reading], now: Reading) -> float | None:
    """At the speed since the oldest reading that contains the sale."""
    name, available = sale["productId"], sale["available"]
    first = next((reading for reading in earlier if name in reading.sales), None)
    taken = first.sales[name]["available"] - available if first else 0
    if first is None or taken <= 0 or available == 0 or sale["state"] != "open":
        return None
    return float(available * (now.at_seconds - first.at_seconds) / taken)


def _moved_units(before: Sale | None, now: Sale) -> int:
    return sum(abs(now[kind] - before[kind]) for kind in ("available", "reserved", "sold")) if before else 0
