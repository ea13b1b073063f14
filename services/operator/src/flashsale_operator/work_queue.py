"""The resources to reconcile, each at most once: what one needs is read when its turn comes. Edits come first, new resources last."""

import asyncio
from collections import deque
from enum import IntEnum


class Lane(IntEnum):
    """Why a resource is queued; the lower comes first."""

    EDITED = 0
    SWEPT = 1
    """The sweep found it different, or it failed before."""
    NEW = 2
    """It has no finalizer yet: thousands of new sales let the changes of running ones pass."""


class WorkQueue:
    def __init__(self) -> None:
        self._lanes: dict[Lane, deque[str]] = {lane: deque() for lane in Lane}
        self._queued: dict[str, Lane] = {}
        """The first lane of each key; the key may be in later ones as well."""
        self._running: set[str] = set()
        self._again: dict[str, Lane] = {}
        """Keys that were added while they were worked on."""
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queued)

    def swept(self) -> int:
        """How many keys wait because of sweeps or failures, at most."""
        return len(self._lanes[Lane.SWEPT])

    def add(self, key: str, lane: Lane) -> None:
        """Queue a key. One that is being worked on is queued again once that is done."""
        if key in self._running:
            self._again[key] = min(lane, self._again.get(key, lane))
            return
        if lane < self._queued.get(key, len(Lane)):
            self._queued[key] = lane
            self._lanes[lane].append(key)
        self._filled.set()

    def add_later(self, key: str, seconds: float, lane: Lane = Lane.SWEPT) -> None:
        asyncio.get_running_loop().call_later(seconds, lambda: self.add(key, lane))

    async def take(self) -> tuple[str, Lane]:
        """The next key and its lane. The caller must call `done` with the key."""
        while True:
            for lane, keys in self._lanes.items():
                while keys:
                    key = keys.popleft()
                    # A key that was taken from an earlier lane is still in this one.
                    if self._queued.get(key) == lane:
                        del self._queued[key]
                        self._running.add(key)
                        return key, lane
            self._filled.clear()
            await self._filled.wait()

    def done(self, key: str) -> None:
        self._running.discard(key)
        if (lane := self._again.pop(key, None)) is not None:
            self.add(key, lane)
