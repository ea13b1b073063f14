"""Patient buyers in a thread of their own, while a test stops the services they depend on."""

import asyncio
import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import aiohttp

from flashsale_local_stack import wait_until

GIVE_UP_SECONDS = 120.0
REQUEST_SECONDS = 10.0
PAUSE_SECONDS = 0.1


@dataclass
class Storm:
    """What the buyers received. An order counts as accepted when a client read a 200 for it."""

    url: str
    sale: str
    accepted: dict[str, str] = field(default_factory=dict)
    """Order ids by request id."""
    outcomes: Counter[str] = field(default_factory=Counter)
    contradictions: list[str] = field(default_factory=list)
    stopping: bool = False
    _begun: int = 0
    _open: set[int] = field(default_factory=set)
    """The numbers of the requests that have no answer yet."""

    def wait_until_answered(self) -> None:
        """Wait until each request that was sent before this call has its answer: a slow machine may count an early refusal late."""
        sent = set(self._open)
        assert wait_until(lambda: not sent & self._open, GIVE_UP_SECONDS)

    async def run(self, buyers: int) -> None:
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.gather(*[self._buy(session) for _ in range(buyers)])

    async def _buy(self, session: aiohttp.ClientSession) -> None:
        while not self.stopping:
            request_id = uuid.uuid4().hex
            await self._until_answered(session, request_id)
            await asyncio.sleep(0.02)

    async def _until_answered(self, session: aiohttp.ClientSession, request_id: str) -> None:
        """Repeat a request, as a patient client does, until its answer is final."""
        body = {"userId": f"u{request_id}", "productId": self.sale, "quantity": 1, "requestId": request_id}
        give_up = time.monotonic() + GIVE_UP_SECONDS
        is_repeat = False
        while time.monotonic() < give_up:
            self._begun += 1
            self._open.add(number := self._begun)
            outcome = await self._send(session, body)
            # On a slow machine the hold may end before the buyer who missed the first answer repeats the request.
            self.outcomes["gone" if is_repeat and outcome == "410" else outcome] += 1
            self._open.remove(number)
            if outcome not in {"error", "503"}:
                return
            is_repeat = True
            await asyncio.sleep(PAUSE_SECONDS)
        self.outcomes["gave up"] += 1

    async def _send(self, session: aiohttp.ClientSession, body: dict[str, object]) -> str:
        try:
            async with session.post(f"{self.url}/order", json=body) as answer:
                document = json.loads(await answer.read())
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return "error"
        if answer.status != 200:
            return str(answer.status)
        first_order_id = self.accepted.setdefault(str(body["requestId"]), document["orderId"])
        if first_order_id != document["orderId"]:
            self.contradictions.append(f"{body['requestId']}: {first_order_id} and {document['orderId']}")
        return "accepted"


@contextmanager
def storm(url: str, sale: str, buyers: int = 24) -> Iterator[Storm]:
    """Buyers order until the block ends; then every request they began has its final answer."""
    crowd = Storm(url, sale)
    thread = threading.Thread(target=lambda: asyncio.run(crowd.run(buyers)), daemon=True)
    thread.start()
    try:
        yield crowd
    finally:
        crowd.stopping = True
        thread.join(GIVE_UP_SECONDS + 15)
        assert not thread.is_alive(), "the storm did not end"
