"""What a dead Redis had on its disk, read by a server of its own from a copy. With an fsync before each answer, nobody knew more."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from signal import SIGKILL
from typing import Any, NamedTuple

from flashsale_chaos.bench import Bench
from flashsale_chaos.loss import Outbox, Place, Places
from flashsale_chaos.servers.ask import asked
from flashsale_chaos.waiting import until
from flashsale_core.fence import read_fence
from flashsale_core.keys import SHARDS_DEFAULT, shard_keys
from flashsale_core.messages import Message, Position, read
from flashsale_local_stack import configs, free_ports
from flashsale_local_stack.processes import end, spawn

LOAD_TIMEOUT_SECONDS = 20.0
STOP_TIMEOUT_SECONDS = 10.0
PASSWORD = "remains"  # noqa: S105 - the server listens on loopback for less than a second
_numbers = count(1)


class Remains(NamedTuple):
    places: Places
    outbox: Outbox


async def read_remains(bench: Bench, data: Path) -> Remains | None:
    """Read a data folder that no server uses. None if a server cannot load it."""
    home = bench.stack.home / f"remains-{next(_numbers)}"
    try:
        async with _server(bench.machine.redis_server, data, home) as port:
            ping = until(lambda: asked(port, PASSWORD, lambda client: client.ping()), LOAD_TIMEOUT_SECONDS)
            places = await read_places(port, PASSWORD) if await ping else {}
            return Remains(places, await _read_outbox(port)) if places else None
    finally:
        await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)


async def read_places(port: int, password: str) -> Places:
    """How far each shard has come; empty if the server does not answer."""
    places: dict[int, Place] = {}

    async def ask(client: Any) -> bool:
        for shard in range(SHARDS_DEFAULT):
            fence = read_fence(await client.hgetall(shard_keys(shard).fence))
            places[shard] = Place(fence.incarnation, fence.seq)
        return True

    return places if await asked(port, password, ask) else {}


async def _read_outbox(port: int) -> Outbox:
    outbox: dict[Position, list[Message]] = {}

    async def ask(client: Any) -> bool:
        for shard in range(SHARDS_DEFAULT):
            for stream in (shard_keys(shard).direct, shard_keys(shard).outbox):
                for _, fields in await client.xrange(stream):
                    for message in read(fields[b"b"]).messages:
                        position = getattr(message, "seq", None)
                        if position is not None:
                            outbox.setdefault(position, []).append(message)
        return True

    await asked(port, PASSWORD, ask)
    return outbox


@asynccontextmanager
async def _server(redis_server: str, data: Path, home: Path) -> AsyncIterator[int]:
    (port,) = free_ports(1)
    await asyncio.to_thread(shutil.copytree, data, home / "data")
    conf = home / "redis.conf"
    conf.write_text(configs.replicated_redis_conf(port, PASSWORD, str(home / "data"), None))
    process = await asyncio.to_thread(spawn, [redis_server, str(conf)], os.environ, home / "log", home)
    try:
        yield port
    finally:
        await asyncio.to_thread(end, process, STOP_TIMEOUT_SECONDS, SIGKILL)
