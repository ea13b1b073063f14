"""One sale's numbers: stock as the gateway tells it, demand as the gateways counted it, and when it will be sold out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flashsale_cli.sales_client import Sale
from flashsale_cli.top.changes import Changes
from flashsale_cli.top.reading import Reading

ORDERS = "flashsale_sale_orders_total"
OTHER = "_other"
"""What a gateway calls the sales it has no label for."""


@dataclass(frozen=True, slots=True)
class SaleNow:
    product_id: str
    state: str
    stock: int
    available: int
    reserved: int
    sold: int
    demand_per_second: Mapping[str, float] | None
    """Orders, by outcome. None when no gateway told, or when it is counted among others."""
    sold_out_share: float | None
    """Of all orders, those refused for want of stock. None without orders."""
    sold_out_in_seconds: float | None
    """None while nothing sells, and when nothing is left."""
    moved_units: int
    """Since the reading before."""


def sales_now(earlier: Sequence[Reading], now: Reading, changes: Changes) -> list[SaleNow]:
    """The busiest first. `earlier` are the readings whose pace counts, oldest first."""
    rows = (sale_now(sale, earlier, now, changes) for sale in now.sales.values())
    return sorted(rows, key=activity)


def activity(row: SaleNow) -> tuple[float, int, str]:
    return -sum((row.demand_per_second or {}).values()), -row.moved_units, row.product_id


def sale_now(sale: Sale, earlier: Sequence[Reading], now: Reading, changes: Changes) -> SaleNow:
    name = sale["productId"]
    wanted = demand(name, changes)
    return SaleNow(
        product_id=name,
        state=sale["state"],
        stock=sale["stock"],
        available=sale["available"],
        reserved=sale["reserved"],
        sold=sale["sold"],
        demand_per_second=wanted,
        sold_out_share=share(wanted, "out_of_stock"),
        sold_out_in_seconds=sold_out_in_seconds(sale, earlier, now),
        moved_units=moved_units(earlier[-1].sales.get(name) if earlier else None, sale),
    )


def demand(sale_id: str, changes: Changes) -> Mapping[str, float] | None:
    by_sale = changes.rates(ORDERS, "sale")
    if by_sale is None or (sale_id not in by_sale and _shares_a_label(changes)):
        return None
    return changes.rates(ORDERS, "outcome", sale=sale_id)


def _shares_a_label(changes: Changes) -> bool:
    """Whether sales are among the others; names that are no sale always are."""
    return bool(set(changes.rates(ORDERS, "outcome", sale=OTHER) or ()) - {"unknown_sale"})


def share(rates: Mapping[str, float] | None, outcome: str) -> float | None:
    total = sum(rates.values()) if rates else 0.0
    return rates.get(outcome, 0.0) / total if rates and total else None


def sold_out_in_seconds(sale: Sale, earlier: Sequence[Reading], now: Reading) -> float | None:
    """At the pace since the oldest of the readings that has the sale."""
    name, available = sale["productId"], sale["available"]
    first = next((reading for reading in earlier if name in reading.sales), None)
    taken = first.sales[name]["available"] - available if first else 0
    if first is None or taken <= 0 or available == 0 or sale["state"] != "open":
        return None
    return float(available * (now.at_seconds - first.at_seconds) / taken)


def moved_units(before: Sale | None, now: Sale) -> int:
    return sum(abs(now[kind] - before[kind]) for kind in ("available", "reserved", "sold")) if before else 0
