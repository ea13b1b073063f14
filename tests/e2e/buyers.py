"""Buyers who arrive at a steady rate, each on a new connection, until /tmp/stop exists: `buyers.py PRODUCT PER_SECOND LANES`.

It runs in a pod of the flashsale command's image. tests.e2e.crowd sends it there and reads its output, one line of JSON.
The buyers prove who they are in each way for which the pod's environment has a key, one lane like this and the next like that.
"""

import asyncio
import json
import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp

GAP_SECONDS = 1.0
LONGEST_SECONDS = 1700
STOP, PROGRESS, ORDERS = Path("/tmp/stop"), Path("/tmp/progress"), Path("/tmp/orders.buyers")
ENVIRONMENT = Path("/tmp/environment")
"""A line of a shell that exports new values of the pod's variables, once it exists: secrets were rotated."""
TOKEN_SECONDS = 3600
Proof = Callable[[str], Mapping[str, str]]
"""The headers of a buyer's request."""


class Buyers:
    def __init__(self, product: str, per_second: float, lanes: int) -> None:
        """`lanes` is how many may wait for an answer at the same time."""
        self.product = product
        self.lanes = lanes
        self.proofs = proofs(os.environ)
        self.cycle_seconds = lanes / per_second
        self.outcomes: Counter[str] = Counter()
        self.bare_503 = 0
        """503s without a Retry-After."""
        self.accepted_at: list[float] = []
        self.refused_at: list[float] = []
        self.orders: list[str] = []

    async def run(self) -> None:
        self.started = time.time()
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0), timeout=timeout) as session:
            progress = asyncio.create_task(self._report_progress())
            await asyncio.gather(*(self._lane(session, lane) for lane in range(self.lanes)))
            progress.cancel()
        self._finish()

    async def _lane(self, session: aiohttp.ClientSession, lane: int) -> None:
        await asyncio.sleep(self.cycle_seconds * lane / self.lanes)
        number = 0
        while not self._over():
            began = time.monotonic()
            user = f"b{lane}-{number}"
            number += 1
            proof = self.proofs[lane % len(self.proofs)](user)
            await self._order(session, {"userId": user, "productId": self.product, "quantity": 1, "requestId": user}, proof)
            await asyncio.sleep(max(0.0, self.cycle_seconds - (time.monotonic() - began)))

    async def _order(self, session: aiohttp.ClientSession, body: dict[str, Any], proof: Mapping[str, str]) -> None:
        try:
            async with session.post(os.environ["FLASHSALE_URL"] + "/order", json=body, headers=proof) as answer:
                document = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self.outcomes[f"error {type(error).__name__}"] += 1
            return
        if answer.status == 200:
            self.outcomes["accepted"] += 1
            self.accepted_at.append(time.time())
            self.orders.append(document["orderId"])
            return
        # An answer whose body is empty is no problem document of the gateway's: who sent it?
        reason = document.get("code") if document else f"without a body, from {answer.headers.get('Server', 'an unnamed server')}"
        self.outcomes[f"{answer.status} {reason}"] += 1
        self.refused_at.append(time.time())
        if answer.status == 503 and not answer.headers.get("Retry-After", "").isdigit():
            self.bare_503 += 1

    async def _report_progress(self) -> None:
        """Write to a file what happened so far and when the last order was accepted, and read new keys."""
        while True:
            self._write_progress()
            self._read_environment()
            await asyncio.sleep(0.2)

    def _read_environment(self) -> None:
        if ENVIRONMENT.exists():
            self.proofs = proofs(dict(word.split("=", 1) for word in shlex.split(ENVIRONMENT.read_text())[1:]))

    def _over(self) -> bool:
        return STOP.exists() or time.time() > self.started + LONGEST_SECONDS

    def _write_progress(self) -> None:
        gaps = self._gaps()
        progress = {
            "accepted": len(self.accepted_at),
            "last_at": max(self.accepted_at[-self.lanes :], default=0),
            "outcomes": self.outcomes,
            "gaps": gaps,
            "refusing": self._refusing(gaps),
        }
        # A reader must never find half of it.
        new = PROGRESS.with_suffix(".new")
        new.write_text(json.dumps(progress))
        new.rename(PROGRESS)

    def _finish(self) -> None:
        ORDERS.write_text("".join(f"{order}\n" for order in self.orders))
        print(json.dumps(self._report()), flush=True)

    def _gaps(self) -> list[tuple[float, float]]:
        """The times without an accepted order so far."""
        times = [self.started, *sorted(self.accepted_at), time.time()]
        return [(before, after) for before, after in pairwise(times) if after - before > GAP_SECONDS]

    def _refusing(self, gaps: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        """The gaps in which an order was refused. In the others every order waited: the machine may have been busy elsewhere."""
        return [(before, after) for before, after in gaps if any(before < at < after for at in self.refused_at)]

    def _report(self) -> dict[str, Any]:
        return {
            "outcomes": self.outcomes,
            "bare_503": self.bare_503,
            "gaps": self._gaps(),
            "accepted_in_second": Counter(int(at) for at in self.accepted_at),
        }


def proofs(environment: Mapping[str, str]) -> list[Proof]:
    """Every way that the environment has a key for; without a key, the gateways trust the body."""
    ways: list[Proof] = []
    if keys := environment.get("FLASHSALE_SERVICE_KEYS"):
        service_key = keys.split(",")[0].partition(":")[2]
        ways.append(lambda _: bearer(service_key))
    if keys := environment.get("FLASHSALE_BUYER_TOKEN_KEY"):
        # The image of an earlier release has no such module, and its gateways no such key.
        from flashsale_core.buyer_token import BuyerTokens

        tokens = BuyerTokens([keys.split(" ")[0].encode()])
        ways.append(lambda user: bearer(tokens.sign(user, int(time.time()) + TOKEN_SECONDS)))
    return ways or [lambda _: {}]


def bearer(token: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"}


if __name__ == "__main__":
    asyncio.run(Buyers(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])).run())
