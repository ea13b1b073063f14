"""uvicorn's server, woken by a signal instead of looking ten times a second whether there was one: at rest that was a third of its CPU."""

import asyncio
from contextlib import suppress
from types import FrameType

import uvicorn

TICK_SECONDS = 1.0
"""How often the Date header is renewed; it has whole seconds."""


class Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._signalled = asyncio.Event()

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        # Every tenth tick of uvicorn's renews the date, and so does tick 0.
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._signalled.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        # Before main_loop nothing waits, and its first tick sees what uvicorn has noted.
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._signalled.set)
