"""An address that can move to another server while existing connections stay, as that of a Service does, or can freeze or refuse."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator

from flashsale_chaos.network import Link, Mode

HOST = "127.0.0.1"
START_TIMEOUT_SECONDS = 60.0


class Forwarder:
    """A link in an event loop of its own, for tests that block."""

    def __init__(self, link: Link, loop: asyncio.AbstractEventLoop) -> None:
        self._link, self._loop = link, loop
        self.port = link.port

    def move(self, port: int) -> None:
        """New connections lead to this port."""
        self._link.target = (HOST, port)

    @contextlib.contextmanager
    def disturbed(self, mode: Mode) -> Iterator[None]:
        """As `Link.disturbed`."""
        disturbance = self._link.disturbed(mode)
        self._in_loop(disturbance.__enter__)
        try:
            yield
        finally:
            self._in_loop(lambda: disturbance.__exit__(None, None, None))

    def _in_loop(self, act: Callable[[], object]) -> None:
        async def do() -> None:
            act()

        asyncio.run_coroutine_threadsafe(do(), self._loop).result(START_TIMEOUT_SECONDS)


@contextlib.contextmanager
def forwarding(target: int) -> Iterator[Forwarder]:
    link, loop, listening = Link((HOST, target)), asyncio.new_event_loop(), threading.Event()
    ending = asyncio.Event()

    async def serve() -> None:
        await link.start()
        listening.set()
        await ending.wait()
        await link.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert listening.wait(START_TIMEOUT_SECONDS)
        yield Forwarder(link, loop)
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join(START_TIMEOUT_SECONDS)
        loop.close()
