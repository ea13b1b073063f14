"""Where a bench takes place: the stack, a client, the ledger, and the endpoints it is compared with."""

import asyncio
import base64
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
from redis.asyncio import Redis

from flashsale_cli import sales_client
from flashsale_cli.environment import CliEnvironment
from flashsale_cli.http_client import open_session
from flashsale_core.errors import Retryable
from flashsale_redis import open_redis

STOCK = 100_000_000
WINDOW_SECONDS = 1800
START_SECONDS = 10.0
POLL_SECONDS = 0.1
CATCH_UP_SECONDS = 120.0
TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Site:
    environment: CliEnvironment
    session: aiohttp.ClientSession
    ledger: "asyncpg.Connection[asyncpg.Record]"
    redis: Redis
    starlette_url: str
    raw_url: str

    @property
    def url(self) -> str:
        return self.environment.url()

    @property
    def webhook_secret(self) -> str:
        """In base64 that a strict decoder takes."""
        return base64.b64encode(base64.b64decode(self.environment.text("FLASHSALE_WEBHOOK_SECRET").removeprefix("whsec_"))).decode()

    async def new_sale(self, name: str, stock: int = STOCK, window_seconds: int = WINDOW_SECONDS, **more: Any) -> str:
        """A sale of a name that was never used. Returns its id."""
        product_id = f"{name}-{uuid4().hex[:8]}"
        await self.set_sale(product_id, stock, window_seconds, **more)
        return product_id

    async def set_sale(self, product_id: str, stock: int, window_seconds: int = WINDOW_SECONDS, **more: Any) -> None:
        wanted = {"productId": product_id, "stock": stock, "paymentWindowSeconds": window_seconds, **more}
        await sales_client.set_sale(self.session, self.url, self.environment.text("FLASHSALE_ADMIN_TOKEN"), wanted)

    async def counter(self, product_id: str, name: str) -> int:
        """`available`, `reserved` or `sold` units in Redis."""
        return int((await sales_client.get_sale(self.session, self.url, product_id))[name])

    async def in_ledger(self, product_id: str) -> int:
        return int(await self.ledger.fetchval("select count(*) from orders where sale_id = $1", product_id))

    async def caught_up(self, product_id: str, orders: int) -> float:
        """Wait until the ledger has `orders` orders of a sale; seconds that took. Raises Retryable after CATCH_UP_SECONDS."""
        started = monotonic()
        while await self.in_ledger(product_id) < orders:
            if monotonic() - started > CATCH_UP_SECONDS:
                raise Retryable(f"the ledger does not have {orders} orders of {product_id} after {CATCH_UP_SECONDS:.0f} s")
            await asyncio.sleep(POLL_SECONDS)
        return monotonic() - started

    async def tidied(self) -> None:
        """What many new rows make the stores do at some moment is done now: the rewrite of Redis' file, the vacuum of the ledger.

        Each takes a core for seconds, and would slow down whatever is measured then. Raises Retryable after CATCH_UP_SECONDS.
        """
        give_up_at = monotonic() + CATCH_UP_SECONDS
        await self.ledger.execute("vacuum (analyze) orders, order_events")
        await self._rewritten(give_up_at)
        await self.redis.bgrewriteaof()
        await self._rewritten(give_up_at)

    async def _rewritten(self, give_up_at: float) -> None:
        while True:
            now = await self.redis.info("persistence")
            if not now["aof_rewrite_in_progress"] and not now["aof_rewrite_scheduled"]:
                return
            if monotonic() > give_up_at:
                raise Retryable("Redis still rewrites its append-only file")
            await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def open_site(environment: CliEnvironment) -> AsyncIterator[Site]:
    async with AsyncExitStack() as held:
        ledger = await asyncpg.connect(environment.text("DATABASE_URL"))
        held.push_async_callback(ledger.close)
        redis = open_redis(environment.text("REDIS_URL"), TIMEOUT_SECONDS, 16)
        held.push_async_callback(redis.aclose)
        session = await held.enter_async_context(open_session(TIMEOUT_SECONDS))
        urls = [await held.enter_async_context(bare_server(session, name)) for name in ("starlette", "raw")]
        yield Site(environment, session, ledger, redis, *urls)


@asynccontextmanager
async def bare_server(session: aiohttp.ClientSession, name: str) -> AsyncIterator[str]:
    """An endpoint of tools/bench/bare.py, in a process of its own as the gateway is."""
    port = free_port()
    async with serving(session, port, "/order", "tools.bench.bare", name, str(port)) as served:
        yield served.url


@dataclass(frozen=True, slots=True)
class Served:
    url: str
    pid: int


@asynccontextmanager
async def serving(
    session: aiohttp.ClientSession, port: int, path: str, module: str, *words: str, env: Mapping[str, str] | None = None
) -> AsyncIterator[Served]:
    """A Python module as a process that serves on `port`, up once `path` answers."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, *words, cwd=Path(__file__).parents[2], env=env)
    try:
        await _wait_for(session, f"http://127.0.0.1:{port}{path}")
        yield Served(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        await process.wait()


async def _wait_for(session: aiohttp.ClientSession, url: str) -> None:
    give_up_at = monotonic() + START_SECONDS
    while True:
        try:
            async with session.get(url):
                return
        except aiohttp.ClientError as error:
            if monotonic() >= give_up_at:
                raise Retryable(f"{url} does not answer") from error
            await asyncio.sleep(POLL_SECONDS)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
