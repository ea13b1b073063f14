"""A replica that lacks the last writes becomes the master."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from flashsale_chaos.bench import Bench
from flashsale_chaos.faults import Fault
from flashsale_chaos.machine import redis_data
from flashsale_chaos.network import Link, Mode
from flashsale_chaos.servers import volume
from flashsale_chaos.servers.ask import HOST, asked
from flashsale_chaos.servers.losses import note_loss
from flashsale_chaos.servers.outages import redis_address, until_redis_answers
from flashsale_chaos.servers.remains import read_places, read_remains
from flashsale_chaos.servers.replica import Replica, replica_of
from flashsale_chaos.servers.turns import until_sold
from flashsale_chaos.servers.unpublished import until_open

OPEN_TIMEOUT_SECONDS = 5.0
CUT = Mode(hold_up=True, hold_down=True)
LAG_SECONDS = 1
"""`min-replicas-max-lag` of the master in a split brain. The keeper must wait longer (docs/scaling.md)."""


async def promote_stale(bench: Bench, fault: Fault) -> None:
    """The replica is cut off for `amount` milliseconds, then the master dies, and the replica is the master for `lasts_seconds`."""
    async with _followed(bench, fault) as replica, _returning(bench, replica):
        with replica.link.disturbed(CUT):
            cut = time.monotonic()
            await asyncio.sleep(fault.amount / 1000)
            await until_sold(bench, cut)
            await bench.kill("redis")
            await replica.promote()
            before = await read_remains(bench, redis_data(bench.stack.home))
            note_loss(bench, before, await read_places(replica.port, redis_address(bench)[1]))
        _lead(_redis_links(bench), replica.port)
        await asyncio.sleep(fault.lasts_seconds)


async def split_brain(bench: Bench, fault: Fault) -> None:
    """The replica is promoted for all but the second gateway, which goes on with the old master, as both were cut off together."""
    port, password = redis_address(bench)
    async with _followed(bench, fault) as replica, _returning(bench, replica):
        await asked(port, password, _require_a_replica)
        with replica.link.disturbed(CUT):
            await asyncio.sleep(fault.amount / 1000)
            await replica.promote()
            _lead([bench.links["redis"]], replica.port)
            await asyncio.sleep(fault.lasts_seconds)


@asynccontextmanager
async def _followed(bench: Bench, fault: Fault) -> AsyncIterator[Replica]:
    """A replica that has all that Redis has. Redis is open again, if the keeper opens it in time: a first replica closes its fences."""
    port, password = redis_address(bench)
    home = bench.stack.home / f"replica-{fault.number}"
    async with bench.locks["redis"]:
        await asked(port, password, lambda client: client.config_set("repl-diskless-sync-delay", 0))
        async with replica_of(home, bench.machine.redis_server, password, port) as replica:
            await replica.follow()
            await until_open(bench, OPEN_TIMEOUT_SECONDS)
            yield replica


@asynccontextmanager
async def _returning(bench: Bench, replica: Replica) -> AsyncIterator[None]:
    """Afterwards, the stack's own Redis is the master again: with the data of the replica, if that was promoted."""
    port, _ = redis_address(bench)
    try:
        yield
    finally:
        if replica.promoted:
            await asyncio.to_thread(replica.stop)
            await bench.kill("redis")
            await asyncio.to_thread(volume.replace, redis_data(bench.stack.home), replica.data)
            _lead(_redis_links(bench), port)
        await bench.launch("redis")
        await until_redis_answers(bench)


def _lead(links: Sequence[Link], port: int) -> None:
    """All connections of the links end, and new ones lead to `port`."""
    for link in links:
        link.target = (HOST, port)
        link.reset()


def _redis_links(bench: Bench) -> list[Link]:
    return [link for name, link in bench.links.items() if name.rpartition(".")[2] == "redis"]


async def _require_a_replica(client: Any) -> bool:
    """Once cut off, the old master refuses writes after LAG_SECONDS."""
    return bool(await client.config_set("min-replicas-max-lag", LAG_SECONDS) and await client.config_set("min-replicas-to-write", 1))
