"""Finds the sales whose end has passed, and writes their events. Nothing happens in Redis at that moment, so there is no message."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from flashsale_core.errors import Retryable
from flashsale_core.timestamps import rfc3339, to_ms
from flashsale_notifier.repository import Repository
from flashsale_notifier.rows import EndedSale, SaleEnd
from flashsale_notifier.shop_messages import ShopEvent, sale_ended

LOOK_SECONDS = 5.0
GRACE_SECONDS = 2.0
"""The clocks of this machine and of Redis differ by less; until then a sale may still accept an order."""
BACK = timedelta(days=1)
"""How far the first look goes back at least. It goes back to the oldest event that is kept, so a notifier that was away misses no end, and
one that is new reports no sales of before."""
OVERLAP = timedelta(minutes=5)
"""How far each later look goes back: a definition may reach the ledger after the end that it sets."""
PAGE = 500
"""Sales whose events are written in one transaction."""
PAGES_MAX = 100
log = logging.getLogger(__name__)


class EndedSales:
    def __init__(self, repository: Repository, wake: Callable[[Iterable[str]], None]) -> None:
        self._repository, self._wake = repository, wake
        self._after: SaleEnd | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look(datetime.now(UTC) - timedelta(seconds=GRACE_SECONDS))
            except Retryable as error:
                log.debug("ended_sales.unknown", extra={"reason": str(error)})
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, until: datetime) -> None:
        """Write an event for each sale that ended before `until`. A repeat changes nothing. Raises Retryable when Postgres is away.

        After PAGES_MAX pages the next look goes on.
        """
        after = self._after or SaleEnd(await self._first_after(until))
        for _ in range(PAGES_MAX):
            sales = await self._repository.ended_sales(after, until, PAGE)
            self._wake(await self._repository.write_events(sorted(map(_event, sales))))
            if len(sales) < PAGE:
                self._after = SaleEnd(until - OVERLAP)
                return
            self._after = after = sales[-1].place

    async def _first_after(self, until: datetime) -> datetime:
        # The event of a sale that ended later than this was written later, so it is not deleted yet, and a repeat of it changes nothing.
        oldest = await self._repository.oldest_event()
        return min(until - BACK, oldest) if oldest else until - BACK


def _event(sale: EndedSale) -> ShopEvent:
    return sale_ended(sale.sale_id, sale.epoch, to_ms(sale.ends_at), {"stock": sale.total, "endsAt": rfc3339(sale.ends_at)})
