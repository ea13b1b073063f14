"""/metrics: what this process has counted, and the stock of the first sales, made once for all scrapers that ask at once."""

from flashsale_core.exposition import expose, is_open_metrics
from flashsale_gateway import metrics
from flashsale_gateway.errors import GatewayError
from flashsale_gateway.http.catalogue import Catalogue, SaleSnapshot
from flashsale_gateway.http.problems import Problem
from flashsale_gateway.readiness import Readiness
from flashsale_gateway.single_flight import SingleFlight

PAUSE_SECONDS = 0.1
"""Between the beginnings of two scrapes of a format."""
STATES = ("total", "available", "reserved", "sold")


class Scrapes:
    def __init__(self, readiness: Readiness, catalogue: Catalogue) -> None:
        self._readiness = readiness
        self._catalogue = catalogue
        self._formats = {
            True: SingleFlight(lambda: self._make(True), PAUSE_SECONDS),
            False: SingleFlight(lambda: self._make(False), PAUSE_SECONDS),
        }

    async def get(self, accept: str) -> tuple[bytes, str]:
        """(body, content type) for the Accept header of a scraper. Whatever was counted before it asked is in it."""
        return await self._formats[is_open_metrics(accept)].get()

    async def _make(self, open_metrics: bool) -> tuple[bytes, str]:
        try:
            await self._readiness.check()
            measure(await self._catalogue.page("", metrics.SALES_MAX))
        except (GatewayError, Problem):
            # Redis is down: what this process knows is still worth scraping.
            measure([])
        return expose(open_metrics)


def measure(sales: list[tuple[str, SaleSnapshot]]) -> None:
    """Set the gauges of these sales, and of no other."""
    metrics.SALE_STOCK.clear()
    metrics.SALE_IMBALANCE.clear()
    for sale_id, shown in sales:
        for state, units in zip(STATES, shown.stock, strict=True):
            metrics.SALE_STOCK.labels(sale_id, state).set(units)
        # From one reading: numbers of two readings, or of two gateways, may differ while orders run.
        total, *held = shown.stock
        metrics.SALE_IMBALANCE.labels(sale_id).set(total - sum(held))
