"""Servers that die and come back, and what a dead Redis loses meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from flashsale_chaos.bench import Bench
from flashsale_chaos.faults import Fault
from flashsale_chaos.left_entries import BROKER_LINKS, UNSENT
from flashsale_chaos.loss import NOTHING
from flashsale_chaos.machine import redis_data
from flashsale_chaos.servers import volume
from flashsale_chaos.servers.ask import asked
from flashsale_chaos.servers.losses import note_loss
from flashsale_chaos.servers.remains import read_remains
from flashsale_chaos.servers.turns import until_sold
from flashsale_chaos.waiting import until

ANSWER_TIMEOUT_SECONDS = 10.0


async def kill(bench: Bench, fault: Fault) -> None:
    """SIGKILL, and a start with the same data."""
    async with dead(bench, fault.target):
        await asyncio.sleep(fault.lasts_seconds)


async def lose_disk(bench: Bench, fault: Fault) -> None:
    """Redis dies and starts without data."""
    async with dead(bench, "redis"):
        await _empty(bench, fault)


async def lose_node(bench: Bench, fault: Fault) -> None:
    """What a gateway publishes is lost for `amount` milliseconds; then it dies together with Redis and its disk."""
    # As a crash that provokes a loss: first the service, then Redis.
    async with bench.locks[fault.target]:
        try:
            with bench.links[BROKER_LINKS[fault.target]].disturbed(UNSENT):
                await asyncio.sleep(fault.amount / 1000)
                async with dead(bench, "redis"):
                    await bench.kill(fault.target)
                    await _empty(bench, fault)
        finally:
            await bench.launch(fault.target)


async def _empty(bench: Bench, fault: Fault) -> None:
    data = redis_data(bench.stack.home)
    before = await read_remains(bench, data)
    await asyncio.to_thread(volume.empty, data)
    await asyncio.sleep(fault.lasts_seconds)
    note_loss(bench, before, NOTHING)


async def bring_old_volume(bench: Bench, fault: Fault) -> None:
    """Redis dies and starts with its data of `amount` milliseconds ago."""
    data = redis_data(bench.stack.home)
    copy = bench.stack.home / "redis" / f"copy-{fault.number}"
    await asyncio.to_thread(volume.copy, data, copy)
    copied = time.monotonic()
    await asyncio.sleep(fault.amount / 1000)
    await until_sold(bench, copied)
    async with dead(bench, "redis"):
        before, after = await read_remains(bench, data), await read_remains(bench, copy)
        await asyncio.to_thread(volume.replace, data, copy)
        await asyncio.sleep(fault.lasts_seconds)
        note_loss(bench, before, after.places if after is not None else {})


@asynccontextmanager
async def dead(bench: Bench, name: str) -> AsyncIterator[None]:
    """The server is dead while the block runs. Other faults of it wait until it answers again, for a limited time."""
    async with bench.locks[name]:
        try:
            await bench.kill(name)
            yield
        finally:
            await bench.launch(name)
            if name == "redis":
                await until_redis_answers(bench)


async def until_redis_answers(bench: Bench) -> bool:
    """Whether the stack's own Redis answers within ANSWER_TIMEOUT_SECONDS."""
    port, password = redis_address(bench)
    return await until(lambda: asked(port, password, lambda client: client.ping()), ANSWER_TIMEOUT_SECONDS)


def redis_address(bench: Bench) -> tuple[int, str]:
    """Port and password of the stack's own Redis."""
    url = urlsplit(bench.direct_env["REDIS_URL"])
    return int(url.port or 0), str(url.password)
