"""/metrics: what this process has counted, and the stock of the first sales. Scrapes that arrive together share one rendering."""

from flashsale_core.exposition import expose, is_open_metrics
from flashsale_gateway import metrics
from flashsale_gateway.errors import GatewayError
from flashsale_gateway.http.catalogue import STATES, Catalogue, SaleSnapshot
from flashsale_gateway.http.problems import Problem
from flashsale_gateway.readiness import Readiness
from flashsale_gateway.single_flight import SingleFlight

PAUSE_SECONDS = 0.1
"""Between the beginnings of two renderings of a format."""


class Scrapes:
    def __init__(self, readiness: Readiness, catalogue: Catalogue) -> None:
        self._readiness = readiness
        self._catalogue = catalogue
        self._formats = {
            True: SingleFlight(lambda: self._render(True), PAUSE_SECONDS),
            False: SingleFlight(lambda: self._render(False), PAUSE_SECONDS),
        }

    async def get(self, accept: str) -> tuple[bytes, str]:
        """(body, content type) for the Accept header of a scraper. The body contains everything counted before this call."""
        return await self._formats[is_open_metrics(accept)].get()

    async def _render(self, open_metrics: bool) -> tuple[bytes, str]:
        try:
            await self._readiness.check()
            set_stock_gauges(await self._catalogue.page("", metrics.SALES_MAX))
        except (GatewayError, Problem):
            # Redis is down: this process's own metrics are still worth scraping.
            set_stock_gauges([])
        return expose(open_metrics)


def set_stock_gauges(sales: list[tuple[str, SaleSnapshot]]) -> None:
    """Set the gauges of these sales, and clear those of all others."""
    metrics.SALE_STOCK.clear()
    metrics.SALE_IMBALANCE.clear()
    for sale_id, snapshot in sales:
        for state, units in zip(STATES, snapshot.stock, strict=True):
            metrics.SALE_STOCK.labels(sale_id, state).set(units)
        # From one snapshot: numbers of two reads, or of two gateways, may differ while orders run.
        total, *by_state = snapshot.stock
        metrics.SALE_IMBALANCE.labels(sale_id).set(total - sum(by_state))
