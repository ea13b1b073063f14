"""A Postgres or a Redis that freezes at any step: no call outlasts its timeout, and all calls succeed after it thaws.

All steps run at the same time, each with its own server.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from flashsale_core.errors import Retryable
from flashsale_core.messages import OrdersReserved, ReservedLine
from flashsale_core.scripts import Order, read_scripts
from flashsale_core.settings import Environment
from flashsale_core.supervise import Supervisor
from flashsale_gateway.errors import GatewayError
from flashsale_gateway.readiness import Readiness
from flashsale_gateway.settings import read_settings as read_gateway_settings
from flashsale_gateway.store import Store
from flashsale_operator.sale_store import SaleStore
from flashsale_order_worker.plan import plan
from flashsale_order_worker.repository import Repository
from flashsale_redis import open_redis
from flashsale_redis.urls import cluster_url
from flashsale_timeout_worker.expiry import Expiry
from flashsale_timeout_worker.settings import read_settings as read_worker_settings
from flashsale_timeout_worker.sweeper import Sweeper
from flashsale_timeout_worker.wait_probes import WaitProbes
from tests.fences import open_history
from tests.integration.frozen import ACCEPT, FreezingServer, freezing_store

TIMEOUT_SECONDS = 0.9
"""On a slow machine, all steps of a test connect within it at the same time."""
DEADLINE_SECONDS = 60.0
Calls = Mapping[str, Callable[[], Awaitable[object]]]


async def each(scenes: Mapping[str, Coroutine[Any, Any, None]]) -> None:
    ends = await asyncio.gather(*scenes.values(), return_exceptions=True)
    assert {step: repr(end) for step, end in zip(scenes, ends, strict=True) if end is not None} == {}


async def play(server: FreezingServer, calls: Calls) -> None:
    """Every call ends while the server is frozen, and succeeds soon after it thaws."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        # More than one round on a slow machine, where the calls' timeouts may end them before the step at which the server freezes.
        for call in cycle(calls.values()):
            if server.frozen.is_set():
                break
            await _ends(call)
    assert await asyncio.gather(*[_ends(call) for call in calls.values()]) == [False] * len(calls)
    server.thaw()
    for call in calls.values():
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await _ends(call):  # noqa: ASYNC110 - the condition depends on a server
                await asyncio.sleep(0.02)


async def _ends(call: Callable[[], Awaitable[object]]) -> bool:
    """Whether it succeeded; every failure must be one of our errors."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await call()
    except (Retryable, GatewayError):
        return False
    return True


async def test_no_call_to_a_frozen_postgres_outlasts_its_timeout(infra: Mapping[str, str]) -> None:
    words = [ACCEPT, "user", "schema_migrations", "BEGIN;", "insert into orders", "COMMIT;", "from refunds"]

    async def scene(word: str) -> None:
        # The call is repeated after the thaw, when the frozen transaction may still hold its rows.
        message = OrdersReserved(
            v=1, sale=f"frozen-{words.index(word)}", epoch=1, at=1_000, deadline=5_000, orders=[ReservedLine("o1", "ann", 1)]
        )
        async with freezing_store(infra["DATABASE_URL"], word) as (server, url):
            repository = Repository(url, TIMEOUT_SECONDS, 0.05)
            try:
                await play(server, {
                    "schema": repository.check_schema,
                    "write": lambda: repository.write(plan([("1-0", message)])),
                    "refunds": repository.open_refunds,
                })  # fmt: skip
            finally:
                await repository.close()

    await each({word: scene(word) for word in words})


async def test_no_call_to_a_frozen_redis_outlasts_its_timeout(infra: Mapping[str, str]) -> None:
    if cluster_url(infra["REDIS_URL"]) is not None:
        pytest.skip("a cluster names its masters itself, past any proxy")

    async def scene(word: str) -> None:
        async with freezing_store(infra["REDIS_URL"], word) as (server, url):
            worker = replace(read_worker_settings(Environment(infra)), redis_timeout_seconds=TIMEOUT_SECONDS)
            gateway = replace(read_gateway_settings(Environment(infra)), redis_timeout_seconds=TIMEOUT_SECONDS)
            redis, scripts = open_redis(url, TIMEOUT_SECONDS, 4), read_scripts(Path(infra["FLASHSALE_LUA_DIR"]))
            expiry = Expiry(redis, scripts, worker.shards, TIMEOUT_SECONDS, 0.05)
            store = Store(redis, redis, scripts, gateway, open_history())
            sales = SaleStore(redis, scripts, gateway.shards, TIMEOUT_SECONDS)
            try:
                await play(server, {
                    "ping": expiry.ping,
                    "sweep": Sweeper(expiry, worker).sweep,
                    "home": lambda: WaitProbes(redis, worker).mark_returned([60]),
                    "ready": Readiness(redis, scripts, TIMEOUT_SECONDS, True, Supervisor(), open_history()).check,
                    "reserve": lambda: store.reserve([("frozen", [Order("o1", "ann", 1)])], direct=True),
                    "operator": lambda: sales.read_many(["frozen", "other"]),
                })  # fmt: skip
            finally:
                await redis.aclose()

    words = [ACCEPT, "HELLO", "SCRIPT", "TIME", "EVALSHA", "ZRANGEBYSCORE", "HSET", "INFO", "HGETALL"]
    await each({word: scene(word) for word in words})
