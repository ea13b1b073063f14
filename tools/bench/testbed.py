"""What every bench works with: the stack, its clients, the ledger, and the bare endpoints it is compared with."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
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
from tools.bench.processes import POLL_SECONDS, free_port, serving

STOCK = 100_000_000
WINDOW_SECONDS = 1800
CATCH_UP_SECONDS = 120.0
TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Testbed:
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
        """In base64, padded as a strict decoder needs it."""
        return base64.b64encode(base64.b64decode(self.environment.text("FLASHSALE_WEBHOOK_SECRET").removeprefix("whsec_"))).decode()

    async def new_sale(self, name: str, stock: int = STOCK, window_seconds: int = WINDOW_SECONDS, **more: Any) -> str:
        """Create a sale whose id was never used. Returns the id."""
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
        """Number of orders."""
        return int(await self.ledger.fetchval("select count(*) from orders where sale_id = $1", product_id))

    async def wait_for_ledger(self, product_id: str, orders: int) -> float:
        """Wait until the ledger has `orders` orders of a sale. Returns seconds. Raises Retryable after CATCH_UP_SECONDS."""
        started = monotonic()
        while await self.in_ledger(product_id) < orders:
            if monotonic() - started > CATCH_UP_SECONDS:
                raise Retryable(f"the ledger does not have {orders} orders of {product_id} after {CATCH_UP_SECONDS:.0f} s")
            await asyncio.sleep(POLL_SECONDS)
        return monotonic() - started

    async def settle(self, product_id: str) -> None:
        """Wait until the ledger has the orders of all units that the sale counts as reserved. Raises as `wait_for_ledger`."""
        await self.wait_for_ledger(product_id, await self.counter(product_id, "reserved"))

    async def finish_maintenance(self) -> None:
        """Do now what many new rows cause later: rewrite Redis' append-only file and vacuum the ledger.

        Each takes a core for seconds and would slow down whatever is measured then. Raises Retryable after CATCH_UP_SECONDS.
        """
        give_up_at = monotonic() + CATCH_UP_SECONDS
        await self.ledger.execute("vacuum (analyze) orders, order_events")
        await self._wait_for_rewrite(give_up_at)
        await self.redis.bgrewriteaof()
        await self._wait_for_rewrite(give_up_at)

    async def _wait_for_rewrite(self, give_up_at: float) -> None:
        while True:
            state = await self.redis.info("persistence")
            if not state["aof_rewrite_in_progress"] and not state["aof_rewrite_scheduled"]:
                return
            if monotonic() > give_up_at:
                raise Retryable("Redis still rewrites its append-only file")
            await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def open_testbed(environment: CliEnvironment) -> AsyncIterator[Testbed]:
    async with AsyncExitStack() as held:
        ledger = await asyncpg.connect(environment.text("DATABASE_URL"))
        held.push_async_callback(ledger.close)
        redis = open_redis(environment.text("REDIS_URL"), TIMEOUT_SECONDS, 16)
        held.push_async_callback(redis.aclose)
        session = await held.enter_async_context(open_session(TIMEOUT_SECONDS))
        urls = [await held.enter_async_context(_bare_endpoint(session, name)) for name in ("starlette", "raw")]
        yield Testbed(environment, session, ledger, redis, *urls)


@asynccontextmanager
async def _bare_endpoint(session: aiohttp.ClientSession, name: str) -> AsyncIterator[str]:
    """The URL of an endpoint of bare_endpoints.py, which runs in a process of its own as the gateway does."""
    port = free_port()
    async with serving(session, port, "/order", "tools.bench.bare_endpoints", name, str(port)) as server:
        yield server.url
