"""The roll call: once a minute the apiserver is asked what FlashSales there are, and the answer is held against what the watch has shown.

The sweep sees Redis, not the apiserver: a watch that died without a word would go unnoticed, and every change with it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

import aiohttp

from flashsale_operator.cache import Memory

INTERVAL_SECONDS = 60.0
Ask = Callable[[], Awaitable[Mapping[str, int]]]
"""The generation of each FlashSale, by uid. Raises aiohttp.ClientError, OSError or TimeoutError."""
log = logging.getLogger(__name__)


class RollCall:
    def __init__(self, memory: Memory, ask: Ask) -> None:
        self._memory = memory
        self._ask = ask
        self._answered: Mapping[str, int] = {}

    async def run(self) -> None:
        """Call the roll until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            try:
                await self.call()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                # No news of the watch: kopf asks the same apiserver, and tries again too.
                log.warning("rollcall.failed", extra={"reason": f"{type(error).__name__}: {error}"})

    async def call(self) -> None:
        """Forget what is gone, and note what was there at the last call and was not shown to us since."""
        known = self._memory.seen()
        answered = await self._ask()
        for uid in known.keys() - answered.keys():
            self._memory.forget(uid)
        missed = unseen(self._answered, self._memory.seen()) & answered.keys()
        if missed:
            log.error("rollcall.missed", extra={"flashsales": len(missed), "uids": sorted(missed)[:20]})
        self._memory.missed, self._answered = missed, answered


def unseen(answered: Mapping[str, int], seen: Mapping[str, int]) -> frozenset[str]:
    """The resources of which the watch has not shown this generation, or a later one."""
    return frozenset(uid for uid, generation in answered.items() if seen.get(uid, 0) < generation)
