"""Keeps entries from the broker or from the ledger before a loss of Redis, which then is the only one that has them, or a rebuild waits."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager

import msgspec

from flashsale_chaos.bench import Bench
from flashsale_chaos.further import ORDER_WORKER_2, ORDER_WORKERS
from flashsale_chaos.inject import stopped
from flashsale_chaos.left_entries import UNSENT
from flashsale_chaos.network import Mode
from flashsale_chaos.overload import overload
from flashsale_chaos.waiting import until
from flashsale_core.tasks import cancel_and_wait

UNPUBLISHED_SECONDS = 0.7
"""How long entries are kept back at least: gateways must have noticed that the broker is away."""
HELD_SECONDS = 5.0
"""How long entries are kept back at most after the loss, on a machine that keeps up: longer than the keeper waits for a silent gateway."""
CLOSED_POLL_SECONDS = 0.1


class Turn(msgspec.Struct, frozen=True):
    links: Mapping[str, Mode] = {}
    """What is disturbed, by link."""
    stopped: tuple[str, ...] = ()
    """Services that stand still."""
    until_open: bool = False
    """Whether it lasts until Redis is open again, or for HELD_SECONDS."""


NOBODY_PUBLISHES = Turn({"rabbitmq": Mode(refuse=True), "gateway-2.rabbitmq": Mode(refuse=True)})
"""All entries stay in the shared outbox."""
ONE_LOSES = Turn({"gateway-2.rabbitmq": UNSENT}, until_open=True)
"""Releases that the second gateway publishes are lost, while the first one publishes who bought their units."""
QUEUE_STANDS = Turn(stopped=ORDER_WORKERS, until_open=True)
"""What the broker has confirmed is not in the ledger: a rebuild must wait for it, so it lasts as long as it may."""
ONE_WORKER_STANDS = Turn(stopped=(ORDER_WORKER_2,), until_open=True)
"""The marker of the drain passes the other order-worker: a rebuild must wait for what this one received before."""
TURNS = (Turn(), NOBODY_PUBLISHES, ONE_LOSES, QUEUE_STANDS, Turn(), NOBODY_PUBLISHES, ONE_LOSES, ONE_WORKER_STANDS)


@asynccontextmanager
async def kept_back(bench: Bench, number: int) -> AsyncIterator[float]:
    """Every fourth loss meets entries as they are. Yields since when entries are kept back."""
    turn = TURNS[number % len(TURNS)]
    with ExitStack() as disturbances:
        for name, mode in turn.links.items():
            disturbances.enter_context(bench.links[name].disturbed(mode))
        disturbances.enter_context(stopped(bench, *turn.stopped))
        since = time.monotonic()
        async with _ended_after_closing(bench, disturbances):
            await asyncio.sleep(UNPUBLISHED_SECONDS)
            yield since
            if turn.until_open:
                await until_open(bench, HELD_SECONDS * overload())


@asynccontextmanager
async def _ended_after_closing(bench: Bench, disturbances: ExitStack) -> AsyncIterator[None]:
    """End the disturbances HELD_SECONDS after Redis has closed, also before the loss.

    A recovery of the loss before may begin again. It would wait for services that stand still, and the loss for Redis.
    """

    async def end() -> None:
        while await asyncio.to_thread(lambda: bench.stack.is_open):  # noqa: ASYNC110 - a server has no event to wait for
            await asyncio.sleep(CLOSED_POLL_SECONDS)
        await asyncio.sleep(HELD_SECONDS * overload())
        disturbances.close()

    ending = asyncio.create_task(end())
    try:
        yield
    finally:
        await cancel_and_wait(ending)


async def until_open(bench: Bench, limit_seconds: float) -> bool:
    """Wait until Redis is open; returns whether it was within the limit."""
    return await until(lambda: asyncio.to_thread(lambda: bench.stack.is_open), limit_seconds)
