"""A second Redis server, which follows the stack's through a link of its own, and may be promoted."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGKILL
from typing import Any

from flashsale_chaos.machine import ImpossibleError
from flashsale_chaos.network import Link
from flashsale_chaos.servers.ask import HOST, asked
from flashsale_chaos.waiting import until
from flashsale_local_stack import configs, free_ports
from flashsale_local_stack.processes import end, spawn

SYNC_TIMEOUT_SECONDS = 15.0
PROMOTION_TIMEOUT_SECONDS = 5.0
STOP_TIMEOUT_SECONDS = 10.0


class Replica:
    """Blocks while it starts: create it in a thread."""

    def __init__(self, home: Path, redis_server: str, password: str, link: Link) -> None:
        """`link` leads to the master, and is open."""
        self.link = link
        self.promoted = False
        self.data = home / "data"
        (self.port,) = free_ports(1)
        self._password = password
        self.data.mkdir(parents=True)
        conf = home / "redis.conf"
        conf.touch(mode=0o600)
        # Nobody follows it once it is promoted.
        conf.write_text(configs.replicated_redis_conf(self.port, password, str(self.data), link.port) + "min-replicas-to-write 0\n")
        self._process = spawn([redis_server, str(conf)], os.environ, home / "log", home)

    async def follow(self) -> None:
        """Wait until it has all that the master has, also on its disk. Raises ImpossibleError."""
        if not await until(lambda: asked(self.port, self._password, _has_all), SYNC_TIMEOUT_SECONDS):
            raise ImpossibleError(f"the replica had not all data after {SYNC_TIMEOUT_SECONDS:.0f} s")

    async def promote(self) -> None:
        """Raises ImpossibleError. It may have been promoted all the same."""
        self.promoted = True
        if not await until(
            lambda: asked(self.port, self._password, lambda client: client.replicaof("NO", "ONE")), PROMOTION_TIMEOUT_SECONDS
        ):
            raise ImpossibleError("the replica could not be promoted")

    def stop(self) -> None:
        """What it acknowledged is on its disk. Blocks until it has ended."""
        end(self._process, STOP_TIMEOUT_SECONDS, SIGKILL)


@asynccontextmanager
async def replica_of(home: Path, redis_server: str, password: str, master_port: int) -> AsyncIterator[Replica]:
    """A replica in the folder `home`, ended and removed afterwards, unless somebody took its data before."""
    link = Link((HOST, master_port))
    await link.start()
    try:
        replica = await asyncio.to_thread(Replica, home, redis_server, password, link)
        try:
            yield replica
        finally:
            await asyncio.to_thread(replica.stop)
    finally:
        await link.close()
        await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)


async def _has_all(client: Any) -> bool:
    replication, persistence = await client.info("replication"), await client.info("persistence")
    rewriting = persistence["aof_rewrite_in_progress"] or persistence["aof_rewrite_scheduled"]
    return bool(replication.get("master_link_status") == "up" and persistence["aof_enabled"] and not rewriting)
