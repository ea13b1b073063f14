"""An address that can move to another server while existing connections stay, as the address of a Service or a DNS name does."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from flashsale_chaos.network import Link

HOST = "127.0.0.1"
START_TIMEOUT_SECONDS = 10.0


class Forwarder:
    """A link in an event loop of its own, for tests that block."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.port = link.port

    def move(self, port: int) -> None:
        """New connections lead to this port."""
        self._link.target = (HOST, port)


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
        yield Forwarder(link)
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join(START_TIMEOUT_SECONDS)
        loop.close()
