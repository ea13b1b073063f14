"""Finds what happened without a message, a page at a time, and writes its events."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from flashsale_core.errors import Retryable
from flashsale_notifier.repository import Repository
from flashsale_notifier.rows import Place
from flashsale_notifier.shop_messages import ShopEvent

LOOK_SECONDS = 5.0
GRACE_SECONDS = 2.0
"""The clocks of this machine, of Redis and of Postgres differ by less; until then a sale may still accept an order."""
BACK = timedelta(days=1)
"""How far the first look goes back at least. It goes back to the oldest event that is kept, so a notifier that was away misses nothing, and
one that is new reports nothing of before."""
OVERLAP = timedelta(minutes=5)
"""How far each later look goes back: a row may be committed later than the time in it."""
PAGE = 500
"""Rows whose events are written in one transaction."""
PAGES_MAX = 100
log = logging.getLogger(__name__)


class Found(NamedTuple):
    place: Place
    """Where the next page goes on."""
    events: Sequence[ShopEvent]


Page = Callable[[Place, datetime, int], Awaitable[Sequence[Found]]]
"""Up to a number of rows behind a place that are not after a time, in the order of their places. Raises Retryable when Postgres is away."""


class Finder:
    def __init__(self, repository: Repository, page: Page, wake: Callable[[Iterable[str]], None]) -> None:
        """`wake` gets the endpoints that have new deliveries."""
        self._repository, self._page, self._wake = repository, page, wake
        self._after: Place | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look(datetime.now(UTC) - timedelta(seconds=GRACE_SECONDS))
            except Retryable as error:
                log.debug("unpublished.unknown", extra={"reason": str(error)})
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, until: datetime) -> None:
        """Write the events of what happened before `until`. A repeat changes nothing. Raises Retryable when Postgres is away.

        After PAGES_MAX pages the next look goes on.
        """
        after = self._after or Place(await self._first_after(until))
        for _ in range(PAGES_MAX):
            rows = await self._page(after, until, PAGE)
            # Sorted by id, as those of messages are: two notifiers that write the same ones then never deadlock.
            self._wake(await self._repository.write_events(sorted(event for row in rows for event in row.events)))
            if len(rows) < PAGE:
                self._after = Place(until - OVERLAP)
                return
            self._after = after = rows[-1].place

    async def _first_after(self, until: datetime) -> datetime:
        # The event of what happened later than this was written later, so it is not deleted yet, and a repeat of it changes nothing.
        oldest = await self._repository.oldest_event()
        return min(until - BACK, oldest) if oldest else until - BACK
