"""Keeps entries from the broker before a loss of Redis, which then is the only one that has them."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager

from flashsale_chaos.bench import Bench
from flashsale_chaos.network import Mode

UNPUBLISHED_SECONDS = 0.7
"""How long entries are kept back at least: gateways must have noticed that the broker is away."""
NOBODY_PUBLISHES = {"rabbitmq": Mode(refuse=True), "gateway-2.rabbitmq": Mode(refuse=True)}
"""All entries stay in the shared outbox."""
ONE_LOSES = {"gateway-2.rabbitmq": Mode(hold_up=True, lossy=True)}
"""Releases that the second gateway publishes are lost, while the first one publishes who bought their units."""
TURNS: Sequence[Mapping[str, Mode]] = ({}, NOBODY_PUBLISHES, ONE_LOSES)


@asynccontextmanager
async def kept_back(bench: Bench, turn: int) -> AsyncIterator[float]:
    """Every third loss meets entries as they are. Yields since when entries are kept back."""
    with ExitStack() as disturbances:
        for name, mode in TURNS[turn % len(TURNS)].items():
            disturbances.enter_context(bench.links[name].disturbed(mode))
        since = time.monotonic()
        await asyncio.sleep(UNPUBLISHED_SECONDS)
        yield since
