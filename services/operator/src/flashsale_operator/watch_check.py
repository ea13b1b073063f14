"""Compares the FlashSales that the apiserver lists with those that the watch has reported, once a minute.

The sweep reads Redis, not the apiserver: it would not notice a watch that died silently, and every later change would be missed.
A watch that still reports other changes is not dead but behind: after 10,000 changes at once, that is so for minutes.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

import aiohttp

from flashsale_operator.cache import ResourceCache

INTERVAL_SECONDS = 60.0
BEHIND_CHECKS_MAX = 10
"""A change that is missing for this many checks in a row means a dead watch, although it reports others: one of several may have died."""
ListGenerations = Callable[[], Awaitable[Mapping[str, int]]]
"""Returns the generation of each FlashSale, by uid. Raises aiohttp.ClientError, OSError or TimeoutError."""
log = logging.getLogger(__name__)


class WatchCheck:
    def __init__(self, cache: ResourceCache, list_generations: ListGenerations) -> None:
        self._cache = cache
        self._list_generations = list_generations
        self._listed: Mapping[str, int] = {}
        """What the apiserver listed at the last check."""
        self._events = 0
        self._missed: dict[str, int] = {}
        """For how many checks in a row each resource has been unseen."""

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            try:
                await self.check()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                # This is no evidence against the watch: kopf uses the same apiserver, and retries as well.
                log.warning("rollcall.failed", extra={"reason": f"{type(error).__name__}: {error}"})

    async def check(self) -> None:
        """Remove what is gone; record what was listed at the last check and has not been reported by the watch since."""
        observed = self._cache.observed_generations()
        listed = await self._list_generations()
        for uid in observed.keys() - listed.keys():
            self._cache.remove(uid)
        unseen = find_unseen(self._listed, self._cache.observed_generations()) & listed.keys()
        self._missed = {uid: self._missed.get(uid, 0) + 1 for uid in unseen}
        silent, self._events = self._cache.events == self._events, self._cache.events
        dead = unseen if silent else frozenset(uid for uid, checks in self._missed.items() if checks >= BEHIND_CHECKS_MAX)
        if dead:
            log.error("rollcall.missed", extra={"flashsales": len(dead), "uids": sorted(dead)[:20]})
        elif unseen:
            log.warning("rollcall.behind", extra={"flashsales": len(unseen)})
        self._cache.unseen_uids, self._listed = dead, listed


def find_unseen(listed: Mapping[str, int], observed: Mapping[str, int]) -> frozenset[str]:
    """The uids for which the watch has reported neither the listed generation nor a later one."""
    return frozenset(uid for uid, generation in listed.items() if observed.get(uid, 0) < generation)
