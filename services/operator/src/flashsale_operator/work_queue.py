"""The resources to reconcile, each at most once: what a resource needs is read when its turn comes. Those that were edited come first."""

import asyncio
from collections import deque


class WorkQueue:
    def __init__(self) -> None:
        self._edited: deque[str] = deque()
        self._swept: deque[str] = deque()
        self._queued: set[str] = set()
        self._running: set[str] = set()
        self._again: dict[str, bool] = {}
        """Keys that were added while they were worked on, and whether they are edited."""
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queued)

    def add(self, key: str, *, edited: bool) -> None:
        """Queue a key. One that is being worked on is queued again once that is done."""
        if key in self._running:
            self._again[key] = edited or self._again.get(key, False)
            return
        if edited or key not in self._queued:
            (self._edited if edited else self._swept).append(key)
        self._queued.add(key)
        self._filled.set()

    def add_later(self, key: str, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, lambda: self.add(key, edited=False))

    async def take(self) -> tuple[str, bool]:
        """The next key, and whether it was edited. The caller must call `done` with it."""
        while True:
            for lane, edited in ((self._edited, True), (self._swept, False)):
                while lane:
                    key = lane.popleft()
                    # A swept key that was edited later is in both lanes.
                    if key in self._queued:
                        self._queued.remove(key)
                        self._running.add(key)
                        return key, edited
            self._filled.clear()
            await self._filled.wait()

    def done(self, key: str) -> None:
        self._running.discard(key)
        if (edited := self._again.pop(key, None)) is not None:
            self.add(key, edited=edited)
