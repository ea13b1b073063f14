"""Servers that die and come back, and what a dead Redis loses meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from flashsale_chaos.bench import Bench
from flashsale_chaos.faults import Fault
from flashsale_chaos.machine import redis_data
from flashsale_chaos.servers import volume
from flashsale_chaos.servers.ask import asked, until
from flashsale_chaos.servers.losses import noted_loss

ANSWER_TIMEOUT_SECONDS = 10.0


async def kill(bench: Bench, fault: Fault) -> None:
    """SIGKILL, and a start with the same data."""
    async with dead(bench, fault.target):
        await asyncio.sleep(fault.lasts_seconds)


async def lose_disk(bench: Bench, fault: Fault) -> None:
    """Redis dies and starts without data."""
    async with loss(bench):
        await asyncio.to_thread(volume.empty, redis_data(bench.stack.home))
        await asyncio.sleep(fault.lasts_seconds)


async def bring_old_volume(bench: Bench, fault: Fault) -> None:
    """Redis dies and starts with its data of `amount` milliseconds ago."""
    data = redis_data(bench.stack.home)
    copy = bench.stack.home / "redis" / f"copy-{fault.number}"
    await asyncio.to_thread(volume.copy, data, copy)
    await asyncio.sleep(fault.amount / 1000)
    async with loss(bench):
        await asyncio.to_thread(volume.replace, data, copy)
        await asyncio.sleep(fault.lasts_seconds)


@asynccontextmanager
async def loss(bench: Bench) -> AsyncIterator[None]:
    """As `dead`, and notes if Redis lost writes meanwhile."""
    own = redis_address(bench)
    async with noted_loss(bench, own, own), dead(bench, "redis"):
        yield


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
